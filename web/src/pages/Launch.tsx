// SPDX-License-Identifier: Apache-2.0
// One desktop: its launch while it starts or waits, its facts otherwise. Opens the desktop by
// itself when it becomes ready under the user's eyes.
import { Button, CopyButton, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useEffect, useRef, useState } from 'react';
import { Link, useLocation, useNavigate, useParams } from 'react-router';
import { ApiError, call, callRaw } from '../api/client';
import { useDesktop, useGpus, useMe } from '../api/queries';
import type { Desktop, Page, Process } from '../api/types';
import { fullTime, lengthOfTime, memory } from '../format';
import { useWords } from '../i18n';
import { isLive, QueueLine, ReasonLine, StateWord, StopsLine } from '../parts/desktop';
import { DesktopShare, MainButton } from '../parts/DesktopCard';
import type { LaunchState } from '../parts/launch';
import { Explained } from '../parts/Explained';
import { MessageLine } from '../parts/Message';
import { ErrorLine, PageHead, Waiting } from '../parts/Say';
import { Stages } from '../parts/Stages';

// Opens a desktop that becomes live: seen on its way there on this page, or faster than the page.
function useOpensItself(desktop: Desktop | undefined): void {
  const navigate = useNavigate();
  const { t } = useWords();
  const wasAway = useRef(false);
  // So that it is at hand when the desktop is ready.
  useEffect(() => void import('../viewer/Viewer').catch(() => {}), []);
  const asked = useLocation().state as LaunchState | null;
  const live = desktop !== undefined && isLive(desktop);
  const isNew = asked !== null && desktop?.ready_at !== asked.readyBefore;
  const id = desktop?.id;
  useEffect(() => {
    if (id === undefined) return;
    if (!live) {
      wasAway.current = true;
      return;
    }
    if (!wasAway.current && !isNew) return;
    const open = () => void navigate(`/desktops/${id}/view`, { replace: true });
    if (!document.hidden) {
      open();
      return;
    }
    // Not under anybody's eyes: the tab's title says so, and it opens when looked at.
    document.title = `✓ ${t('launch.ready')} · Sluice`;
    document.addEventListener('visibilitychange', open, { once: true });
    return () => document.removeEventListener('visibilitychange', open);
  }, [id, live, isNew, navigate, t]);
}

// How far the portal's clock is ahead of this one; stage times are the portal's.
function useSkewMs(): number {
  const me = useMe();
  const [skew, setSkew] = useState(0);
  const asked = useRef(false);
  useEffect(() => {
    if (asked.current || !me) return;
    asked.current = true;
    const sent = Date.now();
    void call<{ server_time: string }>('/v1/me').then(
      (fresh) => setSkew(Date.parse(fresh.server_time) - (sent + Date.now()) / 2),
      () => {},
    );
  }, [me]);
  return skew;
}

function Log({ id }: { id: string }) {
  const { t } = useWords();
  const log = useQuery({
    queryKey: ['log', id],
    queryFn: async ({ signal }) => (await callRaw(`/v1/desktops/${id}/log`, { signal })).text(),
    refetchInterval: 3000,
  });
  if (log.isError) return <ErrorLine error={log.error} retry={() => void log.refetch()} />;
  return (
    <pre className="log" tabIndex={0} aria-label={t('launch.log')}>
      {log.data || t('launch.log_empty')}
    </pre>
  );
}

function Processes({ id }: { id: string }) {
  const { t } = useWords();
  const list = useQuery({
    queryKey: ['processes', id],
    queryFn: ({ signal }) => call<Page<Process>>(`/v1/desktops/${id}/processes`, { signal }),
    refetchInterval: 3000,
  });
  if (!list.data || list.data.items.length === 0) return null;
  return (
    <section className="panel section">
      <h2>{t('launch.processes')}</h2>
      <div className="table-wrap">
        <table>
          <thead>
            <tr>
              <th>{t('launch.pid')}</th>
              <th>{t('launch.command')}</th>
              <th>{t('launch.memory')}</th>
            </tr>
          </thead>
          <tbody>
            {list.data.items.map((p) => (
              <tr key={p.inner_pid}>
                <td>{p.inner_pid}</td>
                <td className="mono">{p.command}</td>
                <td className="nowrap">{memory(p.memory_bytes)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Failed({ desktop }: { desktop: Desktop }) {
  const { t } = useWords();
  const [log, setLog] = useState('');
  useEffect(() => {
    void callRaw(`/v1/desktops/${desktop.id}/log`).then(
      async (r) => setLog(await r.text()),
      () => {},
    );
  }, [desktop.id, desktop.resource_version]);
  const diagnostics = `${JSON.stringify(desktop, null, 2)}\n\n${log}`;
  return (
    <div className="card-foot">
      <MainButton desktop={desktop} />
      <CopyButton value={diagnostics}>
        {({ copied, copy }) => (
          <Button variant="default" onClick={copy}>
            {t(copied ? 'act.copied' : 'act.copy_diagnostics')}
          </Button>
        )}
      </CopyButton>
      <Text size="sm" c="dimmed">
        {t('launch.home_safe')}
      </Text>
    </div>
  );
}

function Facts({ desktop }: { desktop: Desktop }) {
  const words = useWords();
  const { t, language } = words;
  const facts: [string, string][] = [
    [t('launch.since'), desktop.state_since ? fullTime(desktop.state_since, language) : '–'],
    [t('launch.created'), fullTime(desktop.created_at, language)],
    [
      t('new.idle'),
      desktop.idle.stop_after_s
        ? lengthOfTime(desktop.idle.stop_after_s, words)
        : t('new.idle_never'),
    ],
    [
      t('new.run_for'),
      desktop.run_for_s ? lengthOfTime(desktop.run_for_s, words) : t('new.no_end'),
    ],
  ];
  if (desktop.limits_in_force) facts.push([t('launch.limits'), desktop.limits_in_force]);
  return (
    <dl className="facts">
      {facts.map(([term, value]) => [
        <dt key={term}>{term}</dt>,
        <dd key={`${term}=`}>{value}</dd>,
      ])}
    </dl>
  );
}

export default function Launch() {
  const { id = '' } = useParams();
  const { t } = useWords();
  const query = useDesktop(id);
  const gpus = useGpus();
  const skewMs = useSkewMs();
  const [showLog, setShowLog] = useState(false);
  const desktop = query.data;
  useOpensItself(desktop);
  useEffect(() => {
    if (desktop) document.title = `${desktop.name} · Sluice`;
  }, [desktop]);
  if (query.isPending) return <Waiting />;
  if (query.isError || !desktop) {
    const gone = query.error instanceof ApiError && query.error.status === 404;
    return (
      <div className="launch">
        {gone ? (
          <Text mb="md">{t('launch.gone')}</Text>
        ) : (
          <ErrorLine error={query.error} retry={() => void query.refetch()} />
        )}
        <Button component={Link} to="/" variant="default">
          {t('nav.desktops')}
        </Button>
      </div>
    );
  }
  const launching = desktop.desired_state === 'running' && !isLive(desktop);
  return (
    <div className="launch gpu-cards">
      <PageHead title={desktop.name}>
        <StateWord state={desktop.state} />
      </PageHead>
      <section className="panel section" aria-live="polite" data-state={desktop.state}>
        <DesktopShare desktop={desktop} gpus={gpus.data ?? []} />
        <ReasonLine desktop={desktop} />
        <QueueLine desktop={desktop} />
        <Explained desktop={desktop} />
        {isLive(desktop) && <StopsLine desktop={desktop} />}
        <MessageLine desktop={desktop} />
        {desktop.state === 'failed' ? (
          <Failed desktop={desktop} />
        ) : (
          <div className="card-foot">
            {desktop.state === 'queued' || !launching ? (
              <MainButton desktop={desktop} />
            ) : (
              <Text size="sm" c="dimmed">
                {t('launch.opens_itself')}
              </Text>
            )}
          </div>
        )}
      </section>
      {(launching || desktop.stages.length > 0) && (
        <section className="panel section" aria-label={t('launch.stages')}>
          <h2>{t('launch.stages')}</h2>
          <Stages desktop={desktop} skewMs={skewMs} />
        </section>
      )}
      {isLive(desktop) && <Processes id={desktop.id} />}
      <section className="panel section">
        <Facts desktop={desktop} />
        <div>
          <Button
            variant="default"
            size="xs"
            aria-expanded={showLog}
            onClick={() => setShowLog((v) => !v)}
          >
            {t(showLog ? 'launch.hide_log' : 'launch.show_log')}
          </Button>
        </div>
        {showLog && <Log id={desktop.id} />}
      </section>
    </div>
  );
}
