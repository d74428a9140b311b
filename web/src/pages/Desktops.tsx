// SPDX-License-Identifier: Apache-2.0
// My desktops: the home page.
import { Button, Stack, Text } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { Link } from 'react-router';
import { newKey } from '../api/client';
import {
  desktopActions,
  storeDesktop,
  useDesktops,
  useGpus,
  useMe,
  useOffers,
  useTemplates,
} from '../api/queries';
import type { Template } from '../api/types';
import { memory } from '../format';
import { useWords } from '../i18n';
import { DesktopCard } from '../parts/DesktopCard';
import { IconPlus } from '../parts/icons';
import { useToLaunch } from '../parts/launch';
import { ErrorLine, PageHead, useSayError, Waiting } from '../parts/Say';
import { MissingPrograms, templateWords } from '../parts/Templates';
import { freeName } from './names';

// How many of the templates the empty page offers.
const kPresets = 3;

function Preset({ template, taken }: { template: Template; taken: string[] }) {
  const words = useWords();
  const { t } = words;
  const client = useQueryClient();
  const me = useMe();
  const launch = useToLaunch();
  const sayError = useSayError();
  const offers = useOffers(template.default_memory_bytes, template.available);
  const create = useMutation({
    mutationFn: () =>
      desktopActions.create(
        {
          name: freeName(templateWords(template, words).name, taken),
          template_id: template.id,
          kind: 'container',
          gpu: { memory_bytes: template.default_memory_bytes },
          idle: { stop_after_s: template.default_idle_stop_s, gpu_keeps_alive: true },
        },
        newKey(),
      ),
    onSuccess: (desktop) => {
      storeDesktop(client, desktop, me?.user.id);
      launch(desktop.id, null);
    },
    onError: sayError,
  });
  const { name, summary } = templateWords(template, words);
  const soon = offers.data?.items.some((o) => o.answer === 'starts now');
  return (
    <article className="panel card" aria-label={name}>
      <h2>{name}</h2>
      <Text size="sm" c="dimmed">
        {summary}
      </Text>
      <Text size="sm">
        {t('share.of_one', { limit: memory(template.default_memory_bytes) })}
        {offers.data && ` · ${t(soon ? 'offer.now' : 'offer.waits')}`}
      </Text>
      {!template.available && <MissingPrograms template={template} />}
      <div className="card-foot">
        <Button
          onClick={() => create.mutate()}
          loading={create.isPending}
          disabled={!template.available}
          aria-label={t('desktops.start_preset', { name })}
        >
          {t('act.start')}
        </Button>
      </div>
    </article>
  );
}

function Empty() {
  const { t } = useWords();
  const templates = useTemplates();
  if (templates.isError) {
    return <ErrorLine error={templates.error} retry={() => void templates.refetch()} />;
  }
  return (
    <Stack gap="md">
      <Text>{t('desktops.empty')}</Text>
      <div className="cards">
        {templates.data?.slice(0, kPresets).map((template) => (
          <Preset key={template.id} template={template} taken={[]} />
        ))}
      </div>
    </Stack>
  );
}

export default function Desktops() {
  const { t, tn } = useWords();
  const me = useMe();
  const desktops = useDesktops('mine');
  const gpus = useGpus();
  const mine = desktops.data ?? [];
  const quota = me?.user.quota;
  const held = mine.filter((d) => d.allocation).reduce((sum, d) => sum + d.gpu.memory_bytes, 0);
  return (
    <>
      <PageHead title={t('nav.desktops')}>
        {quota && mine.length > 0 && (
          <Text size="sm" c="dimmed">
            {quota.desktops_max
              ? t('desktops.count_of', { n: mine.length, max: quota.desktops_max })
              : tn('desktops.count', mine.length)}
            {' · '}
            {quota.gpu_memory_max_bytes
              ? t('desktops.held_of', {
                  held: memory(held),
                  max: memory(quota.gpu_memory_max_bytes),
                })
              : t('desktops.held', { held: memory(held) })}
          </Text>
        )}
        <Button component={Link} to="/desktops/new" leftSection={<IconPlus size={16} />}>
          {t('desktops.new')}
        </Button>
      </PageHead>
      {desktops.isPending && <Waiting />}
      {desktops.isError && (
        <ErrorLine error={desktops.error} retry={() => void desktops.refetch()} />
      )}
      {desktops.data && mine.length === 0 && <Empty />}
      <div className="cards">
        {[...mine]
          .sort((a, b) => a.created_at.localeCompare(b.created_at) || a.id.localeCompare(b.id))
          .map((desktop) => (
            <DesktopCard key={desktop.id} desktop={desktop} gpus={gpus.data ?? []} />
          ))}
      </div>
    </>
  );
}
