// SPDX-License-Identifier: Apache-2.0
// The audit log: filter, export, integrity.
import { Alert, Button, Menu, Select, Text, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { useInfiniteQuery, useMutation, type UseMutationResult } from '@tanstack/react-query';
import { useState } from 'react';
import { call } from '../../api/client';
import { keys, useMe } from '../../api/queries';
import type { AuditEvent, Integrity, Page } from '../../api/types';
import { stamp } from '../../format';
import { useWords } from '../../i18n';
import { IconDownload, IconShieldCheck } from '../../parts/icons';
import { Rows } from '../../parts/Rows';
import { ErrorLine, explain, PageHead, Waiting } from '../../parts/Say';

interface Filter {
  q: string;
  actor: string;
  action: string;
  target: string;
  // Hours back from now; '' is no bound.
  hours: string;
}

const none: Filter = { q: '', actor: '', action: '', target: '', hours: '' };

export function toQuery(filter: Filter, now: number): URLSearchParams {
  const query = new URLSearchParams();
  for (const name of ['q', 'actor', 'action', 'target'] as const) {
    if (filter[name].trim() !== '') query.set(name, filter[name].trim());
  }
  if (filter.hours !== '') {
    // To the minute, so that the same view asks the same question.
    const since = new Date(now - Number(filter.hours) * 3_600_000);
    since.setUTCSeconds(0, 0);
    query.set('since', since.toISOString().replace('.000Z', 'Z'));
  }
  return query;
}

type Check = UseMutationResult<Integrity, Error, void>;

function IntegrityLine({ check }: { check: Check }) {
  const words = useWords();
  const { t } = words;
  const result = check.data;
  const failure = check.error && explain(check.error, words);
  if (!result && !failure) return null;
  return (
    <Alert
      mb="sm"
      color={result?.ok ? 'cyan' : 'red'}
      role="status"
      withCloseButton
      closeButtonLabel={t('act.close')}
      onClose={() => check.reset()}
      title={failure ? failure.title : t(result?.ok ? 'audit.ok' : 'audit.bad')}
    >
      {result && (
        <>
          {!result.ok && `${result.detail} `}
          {result.first_bad_seq !== null && `${t('audit.first_bad', { n: result.first_bad_seq })} `}
          {t('audit.checked', { n: result.checked })}{' '}
          <span className="mono">{result.head_hash}</span>
        </>
      )}
    </Alert>
  );
}

function Export({ query }: { query: URLSearchParams }) {
  const { t } = useWords();
  const href = (format: string) => {
    const all = new URLSearchParams(query);
    all.set('format', format);
    return `/v1/audit-events/export?${all.toString()}`;
  };
  return (
    <Menu position="bottom-end">
      <Menu.Target>
        <Button variant="default" leftSection={<IconDownload size={16} />}>
          {t('audit.export')}
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Item component="a" href={href('csv')} download="sluice-audit.csv">
          CSV
        </Menu.Item>
        <Menu.Item component="a" href={href('jsonl')} download="sluice-audit.jsonl">
          JSON Lines
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}

function Row({ event }: { event: AuditEvent }) {
  const good = event.outcome === 'ok' || event.outcome === 'success';
  return (
    <tr tabIndex={0}>
      <td className="quiet">{event.seq}</td>
      <td className="nowrap">{stamp(event.at)}</td>
      <td>
        {event.actor}
        {event.on_behalf_of && ` → ${event.on_behalf_of}`}
      </td>
      <td className="mono nowrap">{event.action}</td>
      <td className="mono">{event.target}</td>
      <td>
        <span className={`state ${good ? 'quiet' : 'trouble'}`}>{event.outcome}</span>
      </td>
      <td>{event.detail}</td>
      <td className="nowrap quiet">{event.source}</td>
    </tr>
  );
}

export default function Audit() {
  const { t } = useWords();
  const me = useMe();
  const [filter, setFilter] = useState<Filter>(none);
  const [settled] = useDebouncedValue(filter, 250);
  const [now] = useState(() => Date.now());
  const set = (part: Partial<Filter>) => setFilter((old) => ({ ...old, ...part }));
  const query = toQuery(settled, now);
  const events = useInfiniteQuery({
    queryKey: [...keys.audit, query.toString()],
    queryFn: ({ pageParam, signal }) => {
      const page = new URLSearchParams(query);
      page.set('limit', '100');
      if (pageParam !== '') page.set('cursor', pageParam);
      return call<Page<AuditEvent>>(`/v1/audit-events?${page.toString()}`, { signal });
    },
    initialPageParam: '',
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    placeholderData: (previous) => previous,
  });
  const check: Check = useMutation({
    mutationFn: () => call<Integrity>('/v1/audit-events/integrity'),
  });
  const rows = events.data?.pages.flatMap((page) => page.items) ?? [];
  const text = (name: 'q' | 'actor' | 'action' | 'target') => (
    <TextInput
      label={t(`audit.${name}`)}
      value={filter[name]}
      onChange={(e) => set({ [name]: e.currentTarget.value })}
      maxLength={200}
      size="xs"
    />
  );
  return (
    <>
      <PageHead title={t('nav.audit')}>
        <Button
          variant="default"
          leftSection={<IconShieldCheck size={16} />}
          loading={check.isPending}
          onClick={() => check.mutate()}
        >
          {t('audit.check')}
        </Button>
        {me?.user.role === 'admin' && <Export query={query} />}
      </PageHead>
      <IntegrityLine check={check} />
      <div className="panel filters" role="search" style={{ marginBottom: 12 }}>
        {text('q')}
        {text('actor')}
        {text('action')}
        {text('target')}
        <Select
          label={t('audit.since')}
          size="xs"
          data={[
            { value: '', label: t('audit.any_time') },
            { value: '1', label: t('audit.hour') },
            { value: '24', label: t('audit.day') },
            { value: '168', label: t('audit.week') },
          ]}
          value={filter.hours}
          onChange={(v) => set({ hours: v ?? '' })}
        />
        <Button variant="subtle" size="xs" onClick={() => setFilter(none)}>
          {t('audit.clear')}
        </Button>
      </div>
      {events.isPending && <Waiting />}
      {events.isError && <ErrorLine error={events.error} retry={() => void events.refetch()} />}
      {events.data && rows.length === 0 && <Text>{t('audit.none')}</Text>}
      {rows.length > 0 && (
        <Rows
          label={t('nav.audit')}
          head={[
            '#',
            t('audit.at'),
            t('audit.actor'),
            t('audit.action'),
            t('audit.target'),
            t('audit.outcome'),
            t('audit.detail'),
            t('audit.source'),
          ]}
        >
          {rows.map((event) => (
            <Row key={event.seq} event={event} />
          ))}
        </Rows>
      )}
      {events.hasNextPage && (
        <Button
          mt="sm"
          variant="default"
          loading={events.isFetchingNextPage}
          onClick={() => void events.fetchNextPage()}
        >
          {t('audit.more')}
        </Button>
      )}
    </>
  );
}
