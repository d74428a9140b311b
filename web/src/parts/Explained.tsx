// SPDX-License-Identifier: Apache-2.0
// Why a desktop has no share yet: all cards in one line, each by itself on demand, and other shares
// that would start now, taken with one click.
import { Button, Group, Text } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { newKey } from '../api/client';
import {
  desktopActions,
  keys,
  TooLate,
  useDesktopAction,
  useExplanation,
  useMe,
  storeDesktop,
} from '../api/queries';
import type { Desktop, Explanation } from '../api/types';
import { memory } from '../format';
import { useWords, type Words } from '../i18n';
import { sentence } from '../i18n/sentences';
import { modelWords } from './desktop';
import { IconInfoCircle } from './icons';
import { Rows } from './Rows';
import { useSayError } from './Say';

type Alternative = Explanation['alternatives'][number];

// What is other than asked: "6 GiB on NVIDIA L4".
export function alternativeWords(
  other: Alternative['gpu'],
  asked: Desktop['gpu'],
  { t }: Pick<Words, 't'>,
) {
  const parts: string[] = [];
  if (other.memory_bytes !== asked.memory_bytes) parts.push(memory(other.memory_bytes));
  if (other.guarantee_percent !== asked.guarantee_percent && other.guarantee_percent !== null) {
    parts.push(t('explain.guarantee', { percent: other.guarantee_percent }));
  }
  if (other.model !== asked.model) {
    parts.push(
      other.model === null ? t('explain.any_model') : t('explain.on', { model: other.model }),
    );
  }
  return parts.join(' · ');
}

function Cards({ cards }: { cards: Explanation['cards'] }) {
  const words = useWords();
  const { t } = words;
  return (
    <Rows label={t('explain.cards')} head={[t('explain.card'), t('explain.says')]}>
      {cards.map((card) => (
        <tr key={card.gpu_id} tabIndex={0}>
          <td className="nowrap">
            {[
              modelWords(card.model, card.simulated, words),
              card.node ? `${card.node} ${card.index}` : card.index,
            ].join(' · ')}
          </td>
          <td>
            <span className={`state ${card.fits ? 'good' : 'quiet'}`}>
              {sentence(card.words, words)}
            </span>
          </td>
        </tr>
      ))}
    </Rows>
  );
}

function Alternatives({ desktop, list }: { desktop: Desktop; list: Alternative[] }) {
  const words = useWords();
  const { t } = words;
  const client = useQueryClient();
  const me = useMe();
  const sayError = useSayError();
  // One key for this page's wish: a second click on a slow network asks nothing twice.
  const [key] = useState(newKey);
  const ask = useDesktopAction(desktopActions.ask);
  const take = (other: Alternative) => {
    const what = alternativeWords(other.gpu, desktop.gpu, words);
    ask.mutate([desktop, other.gpu, `${key}${other.gpu.memory_bytes}${other.words.length}`], {
      onSuccess: () => {
        void client.invalidateQueries({ queryKey: ['explanation', desktop.id] });
        notifications.show({ message: t('explain.taken', { name: desktop.name, what }) });
      },
      onError: (error) => {
        if (!(error instanceof TooLate)) return sayError(error);
        storeDesktop(client, error.desktop, me?.user.id);
        void client.invalidateQueries({ queryKey: keys.desktop(desktop.id) });
        notifications.show({ message: t('explain.too_late', { name: desktop.name }) });
      },
    });
  };
  if (list.length === 0) {
    return (
      <Text size="sm" c="dimmed">
        {t('explain.none')}
      </Text>
    );
  }
  return (
    <div className="alternatives">
      <Text size="sm">{t('explain.starts_now')}</Text>
      <Group gap="xs">
        {list.map((other) => {
          const what = alternativeWords(other.gpu, desktop.gpu, words);
          return (
            <Button
              key={what}
              variant="light"
              size="xs"
              loading={ask.isPending}
              title={other.keeps_place ? undefined : t('explain.new_place')}
              onClick={() => take(other)}
            >
              {t('explain.take', { what })}
            </Button>
          );
        })}
      </Group>
    </div>
  );
}

export function Explained({ desktop }: { desktop: Desktop }) {
  const words = useWords();
  const { t } = words;
  const [open, setOpen] = useState(false);
  const waits = desktop.state === 'queued';
  const { data } = useExplanation(desktop, waits || desktop.state === 'failed');
  // A desktop that failed for another reason has nothing to do with the cards.
  if (!data || (!waits && data.answer !== 'never')) return null;
  return (
    <div className="explained">
      <div className="reason quiet">
        <IconInfoCircle size={16} />
        <span>{sentence(data.summary, words)}</span>
      </div>
      {data.answer !== 'starts now' && <Alternatives desktop={desktop} list={data.alternatives} />}
      <div>
        <Button
          variant="subtle"
          size="compact-sm"
          aria-expanded={open}
          onClick={() => setOpen((v) => !v)}
        >
          {t(open ? 'explain.hide' : 'explain.cards')}
        </Button>
      </div>
      {open && <Cards cards={data.cards} />}
    </div>
  );
}
