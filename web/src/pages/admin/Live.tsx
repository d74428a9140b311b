// SPDX-License-Identifier: Apache-2.0
// Everybody's desktops, for those who look after the machine.
import { ActionIcon, Menu, Switch, Text } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useState } from 'react';
import { useNavigate } from 'react-router';
import { desktopActions, useDesktopAction, useDesktops } from '../../api/queries';
import type { Desktop } from '../../api/types';
import { clock, memory, memoryOf, until } from '../../format';
import { useWords } from '../../i18n';
import { sentence } from '../../i18n/sentences';
import { Ask } from '../../parts/Ask';
import { isLive, StateWord } from '../../parts/desktop';
import { IconDots, IconEye, IconMessageCircle, IconPlayerStop } from '../../parts/icons';
import { useNow } from '../../parts/now';
import { Rows } from '../../parts/Rows';
import { ErrorLine, PageHead, useSayError, Waiting } from '../../parts/Say';
import type { LookState } from '../../viewer/Viewer';

type Act = 'message' | 'stop' | 'look';

function ActDialog({ act, desktop, onClose }: { act: Act; desktop: Desktop; onClose: () => void }) {
  const { t } = useWords();
  const navigate = useNavigate();
  const sayError = useSayError();
  const message = useDesktopAction(desktopActions.message);
  const stop = useDesktopAction(desktopActions.stopFor);
  const params = { name: desktop.name, owner: desktop.owner.name };
  const done = (text: string) => {
    notifications.show({ message: text });
    onClose();
  };
  switch (act) {
    case 'message':
      return (
        <Ask
          title={t('live.message_title', params)}
          why={t('live.message_why')}
          label={t('live.message_label')}
          go={t('live.message_go')}
          maxLength={1000}
          busy={message.isPending}
          onClose={onClose}
          onGo={(text) =>
            message.mutate([desktop, text], {
              onError: sayError,
              onSuccess: () => done(t('live.message_done', params)),
            })
          }
        />
      );
    case 'stop':
      return (
        <Ask
          title={t('live.stop_title', params)}
          why={t('live.stop_why')}
          label={t('live.reason_label')}
          go={t('live.stop_go')}
          danger
          busy={stop.isPending}
          onClose={onClose}
          onGo={(reason) =>
            stop.mutate([desktop, reason], {
              onError: sayError,
              onSuccess: () => done(t('live.stop_done', params)),
            })
          }
        />
      );
    case 'look':
      return (
        <Ask
          title={t('live.look_title', params)}
          why={t('live.look_why', params)}
          label={t('live.reason_label')}
          go={t('live.look_go')}
          onClose={onClose}
          onGo={(reason) => {
            const state: LookState = { mode: 'view', reason };
            void navigate(`/desktops/${desktop.id}/view`, { state });
          }}
        />
      );
  }
}

function Row({ desktop, onAct }: { desktop: Desktop; onAct: (act: Act) => void }) {
  const words = useWords();
  const { t, language } = words;
  const now = useNow(15_000);
  const live = isLive(desktop);
  const limit = desktop.gpu.memory_bytes;
  const held = desktop.allocation?.[0];
  const running = desktop.desired_state === 'running';
  return (
    <tr tabIndex={0} data-desktop={desktop.id}>
      <td>
        <strong>{desktop.name}</strong>
      </td>
      <td>{desktop.owner.name}</td>
      <td>
        <StateWord state={desktop.state} />
        {!live && <div className="quiet">{sentence(desktop.reason, words)}</div>}
      </td>
      <td className="nowrap">
        {desktop.usage ? memoryOf(desktop.usage.used_bytes, limit) : memory(limit)}
      </td>
      <td className="nowrap">{desktop.usage ? `${desktop.usage.compute_percent} %` : '–'}</td>
      <td>{held ? [held.node, held.gpu_model].filter(Boolean).join(' · ') : '–'}</td>
      <td className="nowrap">
        {desktop.stops_at
          ? `${clock(desktop.stops_at, language)} · ${until(desktop.stops_at, language, now)}`
          : '–'}
      </td>
      <td>{desktop.viewers}</td>
      <td>
        <Menu position="bottom-end">
          <Menu.Target>
            <ActionIcon
              variant="subtle"
              color="gray"
              aria-label={t('desktop.more', { name: desktop.name })}
            >
              <IconDots size={18} />
            </ActionIcon>
          </Menu.Target>
          <Menu.Dropdown>
            <Menu.Item
              leftSection={<IconMessageCircle size={16} />}
              disabled={!live}
              onClick={() => onAct('message')}
            >
              {t('live.message')}
            </Menu.Item>
            <Menu.Item
              leftSection={<IconEye size={16} />}
              disabled={!live}
              onClick={() => onAct('look')}
            >
              {t('live.look')}
            </Menu.Item>
            <Menu.Item
              color="red"
              leftSection={<IconPlayerStop size={16} />}
              disabled={!running}
              onClick={() => onAct('stop')}
            >
              {t('live.stop')}
            </Menu.Item>
          </Menu.Dropdown>
        </Menu>
      </td>
    </tr>
  );
}

export default function Live() {
  const { t } = useWords();
  const desktops = useDesktops('all');
  const [all, setAll] = useState(false);
  const [open, setOpen] = useState<{ act: Act; id: string } | null>(null);
  const shown = (desktops.data ?? []).filter((d) => all || d.desired_state === 'running');
  const chosen = open && desktops.data?.find((d) => d.id === open.id);
  return (
    <>
      <PageHead title={t('nav.live')}>
        <Switch
          label={t('live.all')}
          checked={all}
          onChange={(e) => setAll(e.currentTarget.checked)}
        />
      </PageHead>
      {desktops.isPending && <Waiting />}
      {desktops.isError && (
        <ErrorLine error={desktops.error} retry={() => void desktops.refetch()} />
      )}
      {desktops.data && shown.length === 0 && <Text>{t('live.none')}</Text>}
      {shown.length > 0 && (
        <Rows
          label={t('nav.live')}
          head={[
            t('new.name'),
            t('live.owner'),
            t('live.state'),
            t('new.share'),
            t('compute.title'),
            t('live.card'),
            t('live.stops'),
            t('live.viewers'),
            '',
          ]}
        >
          {shown.map((d) => (
            <Row key={d.id} desktop={d} onAct={(act) => setOpen({ act, id: d.id })} />
          ))}
        </Rows>
      )}
      {open && chosen && (
        <ActDialog act={open.act} desktop={chosen} onClose={() => setOpen(null)} />
      )}
    </>
  );
}
