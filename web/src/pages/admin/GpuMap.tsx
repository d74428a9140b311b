// SPDX-License-Identifier: Apache-2.0
// Every card as a bar cut to its shares, and who waits.
import { Button, Group, Text } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { call } from '../../api/client';
import { keys, useGpus, useMe, useQueue } from '../../api/queries';
import type { Gpu, QueueItem } from '../../api/types';
import { clock, fullTime, memory, memoryOf, relative, until } from '../../format';
import { useWords } from '../../i18n';
import { sentence } from '../../i18n/sentences';
import { cardWords, modelWords } from '../../parts/desktop';
import { IconAlertTriangle, IconCheck, IconClock, IconPlayerStop } from '../../parts/icons';
import { useNow } from '../../parts/now';
import { Rows } from '../../parts/Rows';
import { ErrorLine, PageHead, useSayError, Waiting } from '../../parts/Say';
import { CardBar, Legend } from '../../parts/ShareBar';

function Health({ gpu }: { gpu: Gpu }) {
  const words = useWords();
  const { t, language } = words;
  const now = useNow(15_000);
  if (gpu.stale) {
    return (
      <span
        className="state warn"
        title={gpu.last_seen_at ? fullTime(gpu.last_seen_at, language) : ''}
      >
        <IconClock size={16} />
        {gpu.last_seen_at
          ? t('gpu.stale_since', { ago: relative(gpu.last_seen_at, language, now) })
          : t('gpu.stale')}
      </span>
    );
  }
  if (gpu.health === 'unhealthy' || gpu.mode === 'failed') {
    return (
      <span className="state trouble">
        <IconAlertTriangle size={16} />
        {gpu.health_reason || t('gpu.unhealthy')}
      </span>
    );
  }
  if (gpu.mode === 'cordoned') {
    return (
      <span className="state warn">
        <IconPlayerStop size={16} />
        {t('gpu.mode.cordoned')}
      </span>
    );
  }
  return (
    <span className="state good">
      <IconCheck size={16} />
      {t(`gpu.mode.${gpu.mode}`)}
    </span>
  );
}

function CordonButton({ gpu }: { gpu: Gpu }) {
  const { t } = useWords();
  const client = useQueryClient();
  const sayError = useSayError();
  const set = useMutation({
    mutationFn: (mode: 'shared' | 'cordoned') =>
      call<Gpu>(`/v1/gpus/${gpu.id}`, {
        method: 'PATCH',
        body: { mode },
        version: gpu.resource_version,
      }),
    onSuccess: (fresh) =>
      client.setQueryData<Gpu[]>(keys.gpus, (items) =>
        items?.map((g) => (g.id === fresh.id ? fresh : g)),
      ),
    onError: (error) => {
      sayError(error);
      void client.invalidateQueries({ queryKey: keys.gpus });
    },
  });
  if (gpu.mode !== 'shared' && gpu.mode !== 'cordoned') return null;
  const cordoned = gpu.mode === 'cordoned';
  return (
    <Button
      variant="default"
      size="xs"
      loading={set.isPending}
      title={t(cordoned ? 'gpu.uncordon_why' : 'gpu.cordon_why')}
      onClick={() => set.mutate(cordoned ? 'shared' : 'cordoned')}
    >
      {t(cordoned ? 'gpu.uncordon' : 'gpu.cordon')}
    </Button>
  );
}

function Card({ gpu, admin }: { gpu: Gpu; admin: boolean }) {
  const words = useWords();
  const { t } = words;
  return (
    <article className="panel gpu-card" aria-label={cardWords(gpu, words)} data-gpu={gpu.id}>
      <div className="card-head">
        <div>
          <h2>
            {gpu.index} · {modelWords(gpu.model, gpu.simulated, words)}
          </h2>
          <Text size="sm" c="dimmed">
            {[gpu.node, gpu.driver_version && t('gpu.driver', { version: gpu.driver_version })]
              .filter(Boolean)
              .join(' · ')}
          </Text>
        </div>
        <Group gap="md">
          <Health gpu={gpu} />
          {admin && <CordonButton gpu={gpu} />}
        </Group>
      </div>
      <CardBar gpu={gpu} tall />
      <div className="line">
        <span>
          {t('gpu.held', { held: memoryOf(gpu.held_bytes, gpu.memory_bytes) })}
          {!gpu.stale && ` · ${t('gpu.free', { free: memory(gpu.free_bytes) })}`}
          {!gpu.stale && ` · ${t('gpu.used', { used: memory(gpu.used_bytes) })}`}
        </span>
        {!gpu.stale && (
          <span className="quiet">
            GPU {gpu.utilization_percent} %{gpu.temperature_c > 0 && ` · ${gpu.temperature_c} °C`}
          </span>
        )}
      </div>
    </article>
  );
}

function QueueRow({ item, mayEnd }: { item: QueueItem; mayEnd: boolean }) {
  const words = useWords();
  const { t, language } = words;
  const now = useNow(15_000);
  const client = useQueryClient();
  const sayError = useSayError();
  const leave = useMutation({
    mutationFn: () => call<void>(`/v1/queue/${item.claim_id}`, { method: 'DELETE' }),
    onSuccess: () => client.invalidateQueries({ queryKey: keys.queue }),
    onError: sayError,
  });
  return (
    <tr tabIndex={0}>
      <td>{item.position}</td>
      <td>{item.owner || '–'}</td>
      <td className="nowrap">{memory(item.memory_bytes)}</td>
      <td>{sentence(item.reason, words)}</td>
      <td className="nowrap">
        {item.next_likely_at
          ? `${clock(item.next_likely_at, language)} · ${until(item.next_likely_at, language, now)}`
          : '–'}
      </td>
      <td>
        {mayEnd && (
          <Button
            variant="subtle"
            size="compact-sm"
            loading={leave.isPending}
            onClick={() => leave.mutate()}
          >
            {t('queue.remove')}
          </Button>
        )}
      </td>
    </tr>
  );
}

function Queue({ operator }: { operator: boolean }) {
  const { t } = useWords();
  const queue = useQueue();
  if (!queue.data || queue.data.length === 0) return null;
  return (
    <section aria-label={t('queue.title')}>
      <h2 style={{ margin: '16px 0 8px' }}>{t('queue.title')}</h2>
      <Rows
        label={t('queue.title')}
        head={[
          t('queue.place'),
          t('live.owner'),
          t('new.share'),
          t('queue.why'),
          t('queue.next'),
          '',
        ]}
      >
        {queue.data.map((item) => (
          <QueueRow key={item.claim_id} item={item} mayEnd={operator} />
        ))}
      </Rows>
    </section>
  );
}

export default function GpuMap() {
  const { t } = useWords();
  const me = useMe();
  const gpus = useGpus();
  const role = me?.user.role ?? 'user';
  const sorted = [...(gpus.data ?? [])].sort(
    (a, b) => a.node.localeCompare(b.node) || a.index - b.index,
  );
  return (
    <>
      <PageHead title={t('nav.gpus')}>
        <Legend />
      </PageHead>
      {gpus.isPending && <Waiting />}
      {gpus.isError && <ErrorLine error={gpus.error} retry={() => void gpus.refetch()} />}
      {gpus.data?.length === 0 && <Text>{t('gpu.none')}</Text>}
      <div className="gpu-cards">
        {sorted.map((gpu) => (
          <Card key={gpu.id} gpu={gpu} admin={role === 'admin'} />
        ))}
      </div>
      <Queue operator={role !== 'user'} />
    </>
  );
}
