// SPDX-License-Identifier: Apache-2.0
// The desktop in the browser.

import { Button, CloseButton, Group, Loader, Modal, Text } from '@mantine/core';
import type RFB from '@novnc/novnc';
import { useFullscreenDocument } from '@mantine/hooks';
import { useCallback, useEffect, useRef, useState, type RefObject } from 'react';
import { Link, useLocation, useNavigate, useParams } from 'react-router';
import { desktopActions, useDesktop, useDesktopAction } from '../api/queries';
import type { Desktop } from '../api/types';
import { clock, until } from '../format';
import { useWords } from '../i18n';
import { sentence } from '../i18n/sentences';
import { isLive } from '../parts/desktop';
import { MainButton } from '../parts/DesktopCard';
import { IconChevronDown, IconEye } from '../parts/icons';
import { messageWords, NoticeBanner } from '../parts/Message';
import { useNow } from '../parts/now';
import { ErrorLine, explain, useSayError, Waiting } from '../parts/Say';
import { Bar, type BarActs, type Fit } from './Bar';
import type { Notice } from './channel';
import { useDesktopClipboard } from './clipboard';
import { useQuality } from './quality';
import { releaseKeys, useStream, type Phase, type Stream } from './useStream';
import './viewer.css';

const kBarShownMs = 4000;
const kEdgePx = 6;
const kWarnMs = 15 * 60_000;
const kUrgentMs = 5 * 60_000;

// What an operator hands over when they take a look.
export interface LookState {
  mode: 'view';
  reason: string;
}

function Over({ phase, desktop, stream }: { phase: Phase; desktop: Desktop; stream: Stream }) {
  const words = useWords();
  const { t } = words;
  const now = useNow(250);
  const home = (
    <Button component={Link} to="/" variant="default">
      {t('nav.desktops')}
    </Button>
  );
  switch (phase.name) {
    case 'open':
      return null;
    case 'connecting':
      return (
        <Group gap="sm" role="status">
          <Loader size="sm" type="dots" />
          <Text>{t('viewer.connecting', { name: desktop.name })}</Text>
        </Group>
      );
    case 'reconnecting': {
      const seconds = Math.max(0, Math.ceil((phase.retryAt - now) / 1000));
      return (
        <>
          <Text role="status" fw={600}>
            {t('viewer.lost')}
          </Text>
          <Text size="sm">{t('viewer.lost_why', { seconds })}</Text>
          <Group>
            <Button onClick={stream.retryNow}>{t('viewer.retry_now')}</Button>
            {home}
          </Group>
        </>
      );
    }
    case 'elsewhere':
      return (
        <>
          <Text role="alert" fw={600}>
            {t(phase.mine ? 'viewer.taken' : 'viewer.elsewhere')}
          </Text>
          <Text size="sm">{t('viewer.taken_why')}</Text>
          <Group>
            <Button onClick={() => stream.connect(true)}>
              {t(phase.mine ? 'viewer.take_back' : 'viewer.take_over')}
            </Button>
            {home}
          </Group>
        </>
      );
    case 'stopped':
      return (
        <>
          <Text role="alert" fw={600}>
            {t('viewer.stopped')}
          </Text>
          <Text size="sm">
            {desktop.message !== ''
              ? messageWords(desktop, words)
              : sentence(desktop.reason, words)}
          </Text>
          <Group>
            {isLive(desktop) ? (
              <Button onClick={() => stream.connect(false)}>{t('act.open')}</Button>
            ) : (
              <MainButton desktop={desktop} />
            )}
            {home}
          </Group>
        </>
      );
    case 'signed_out':
      return (
        <>
          <Text role="alert" fw={600}>
            {t('viewer.signed_out')}
          </Text>
          <Button onClick={() => window.location.reload()}>{t('sign_in.go')}</Button>
        </>
      );
    case 'kicked':
      return (
        <>
          <Text role="alert" fw={600}>
            {t('viewer.kicked')}
          </Text>
          <Group>
            <Button onClick={() => stream.connect(false)}>{t('act.open')}</Button>
            {home}
          </Group>
        </>
      );
    case 'refused': {
      const { title, detail } = explain(phase.error, words);
      return (
        <>
          <Text role="alert" fw={600}>
            {title}
          </Text>
          <Text size="sm">
            {detail || String((phase.error as { detail?: string }).detail ?? '')}
          </Text>
          <Group>
            <Button onClick={() => stream.connect(false)}>{t('act.retry')}</Button>
            {home}
          </Group>
        </>
      );
    }
  }
}

// When it stops soon: a line at 15 minutes, with the act that puts it off.
function StoppingSoon({
  desktop,
  said,
  acts,
}: {
  desktop: Desktop;
  said: Notice | null;
  acts: BarActs & { here: () => void };
}) {
  const words = useWords();
  const { t, language } = words;
  const now = useNow(5000);
  const at = desktop.stops_at ?? (said?.type === 'stopping' && said.at ? said.at : null);
  if (!at) return null;
  const leftMs = Date.parse(at) - now;
  const idle = desktop.stops_because === 'idle';
  if (leftMs > (idle ? kUrgentMs : kWarnMs)) return null;
  return (
    <div className="warn" role={leftMs <= kUrgentMs ? 'alert' : 'status'}>
      <Text size="sm">
        {t(idle ? 'viewer.stops_idle' : 'viewer.stops_soon', {
          time: clock(at, language),
          left: until(at, language, now),
        })}
      </Text>
      {idle ? (
        <Button size="xs" onClick={acts.here}>
          {t('viewer.here')}
        </Button>
      ) : (
        <Button size="xs" onClick={() => acts.extend(30)}>
          {t('extend.by_30')}
        </Button>
      )}
    </div>
  );
}

function useBarShown(bar: RefObject<HTMLDivElement | null>) {
  const [shown, setShown] = useState(true);
  const [pinned, setPinned] = useState(false);
  useEffect(() => {
    let needed = Date.now();
    const onMove = (event: MouseEvent) => {
      if (event.clientY > kEdgePx) return;
      needed = Date.now();
      setShown(true);
    };
    const check = () => {
      // Not under the hand or the keyboard of somebody.
      const box = bar.current;
      const busy =
        box?.matches(':hover, :focus-within') ||
        box?.querySelector('[aria-expanded="true"][aria-haspopup]');
      if (busy) needed = Date.now();
      else if (Date.now() - needed > kBarShownMs) setShown(false);
    };
    const timer = window.setInterval(check, 500);
    window.addEventListener('mousemove', onMove, true);
    return () => {
      window.removeEventListener('mousemove', onMove, true);
      window.clearInterval(timer);
    };
  }, [bar]);
  const toggle = () => {
    setPinned(!(shown || pinned));
    setShown(!(shown || pinned));
  };
  return { shown: shown || pinned, toggle };
}

function applyFit(rfb: RFB, fit: Fit): void {
  rfb.scaleViewport = fit !== 'actual';
  rfb.resizeSession = fit === 'resize';
}

function useFit(stream: Stream, viewOnly: boolean) {
  const [fit, setFit] = useState<Fit>(viewOnly ? 'scale' : 'resize');
  const { rfb } = stream;
  useEffect(() => {
    if (rfb) applyFit(rfb, viewOnly && fit === 'resize' ? 'scale' : fit);
  }, [rfb, fit, viewOnly]);
  return [fit, setFit] as const;
}

// Ctrl+Alt+Shift gives the keyboard back to the page.
function useLeaveKeyboard(stream: Stream, onLeave: () => void) {
  useEffect(() => {
    const { rfb } = stream;
    if (!rfb) return;
    const onKey = (event: KeyboardEvent) => {
      if (!event.ctrlKey || !event.altKey || !event.shiftKey) return;
      if (!['Shift', 'Control', 'Alt'].includes(event.key)) return;
      event.stopPropagation();
      event.preventDefault();
      releaseKeys();
      rfb.blur();
      onLeave();
    };
    window.addEventListener('keydown', onKey, true);
    return () => window.removeEventListener('keydown', onKey, true);
  }, [stream, onLeave]);
}

function useActs(desktop: Desktop, stream: Stream, setFit: (fit: Fit) => void) {
  const sayError = useSayError();
  const navigate = useNavigate();
  const patch = useDesktopAction(desktopActions.patch);
  const extend = useDesktopAction(desktopActions.extend);
  const keepAlive = useDesktopAction(desktopActions.keepAlive);
  const fullScreen = useFullscreenDocument();
  const acts: BarActs & { here: () => void } = {
    setFit,
    setLayout: (layout) =>
      patch.mutate([desktop, { keyboard_layout: layout }], { onError: sayError }),
    ctrlAltDel: () => {
      stream.rfb?.sendCtrlAltDel();
      stream.rfb?.focus();
    },
    leaveKeyboard: () => stream.rfb?.blur(),
    fullScreen: () => {
      void fullScreen.toggle().then(() => {
        // Where the browser can, keys like Escape and Alt+Tab go to the desktop in full screen.
        const keyboard = (navigator as { keyboard?: { lock?: () => Promise<void> } }).keyboard;
        if (document.fullscreenElement) void keyboard?.lock?.().catch(() => {});
      });
      stream.rfb?.focus();
    },
    extend: (minutes) => extend.mutate([desktop, minutes], { onError: sayError }),
    here: () => keepAlive.mutate([desktop], { onError: sayError }),
    stop: () =>
      patch.mutate([desktop, { desired_state: 'stopped' }], {
        onError: sayError,
        onSuccess: () => void navigate('/'),
      }),
  };
  return { acts, isFullScreen: fullScreen.fullscreen };
}

function Screen({ desktop, look }: { desktop: Desktop; look: LookState | null }) {
  const { t } = useWords();
  const target = useRef<HTMLDivElement>(null);
  const frozen = useRef<HTMLDivElement>(null);
  const handle = useRef<HTMLButtonElement>(null);
  const [banner, setBanner] = useState<Notice | null>(null);
  const [message, setMessage] = useState<Notice | null>(null);
  const [stopping, setStopping] = useState<Notice | null>(null);
  const onNotice = useCallback((notice: Notice) => {
    if (notice.type === 'banner') setBanner(notice.text === '' ? null : notice);
    if (notice.type === 'message') setMessage(notice);
    if (notice.type === 'stopping') setStopping(notice);
  }, []);
  const viewOnly = look !== null;
  const stream = useStream({
    id: desktop.id,
    mode: viewOnly ? 'view' : 'control',
    reason: look?.reason,
    enabled: true,
    target,
    frozen,
    onNotice,
  });
  const [fit, setFit] = useFit(stream, viewOnly);
  const quality = useQuality(stream.channel);
  const clipboard = useDesktopClipboard(stream.rfb, viewOnly);
  const { acts, isFullScreen } = useActs(desktop, stream, setFit);
  const barBox = useRef<HTMLDivElement>(null);
  const bar = useBarShown(barBox);
  const [left, setLeft] = useState(false);
  const [asking, setAsking] = useState(false);
  const onLeave = useCallback(() => {
    setLeft(true);
    handle.current?.focus();
  }, []);
  useLeaveKeyboard(stream, onLeave);
  const { rfb } = stream;
  useEffect(() => {
    const canvas = target.current?.querySelector('canvas');
    canvas?.setAttribute('aria-label', t('viewer.canvas', { name: desktop.name }));
    canvas?.setAttribute('role', 'application');
  }, [rfb, t, desktop.name]);
  const watchers = desktop.viewers_admin;
  // A desktop that came back (restarted) is opened again without a click.
  const { phase, connect } = stream;
  const live = isLive(desktop);
  useEffect(() => {
    if (phase.name === 'stopped' && live && desktop.state_since) {
      const timer = window.setTimeout(() => connect(false), 1500);
      return () => window.clearTimeout(timer);
    }
  }, [phase.name, live, desktop.state_since, connect]);
  return (
    <main className="viewer" data-phase={phase.name}>
      <div ref={target} className="viewer-screen" />
      <div ref={frozen} className="viewer-frozen" aria-hidden="true" />
      {phase.name !== 'open' && (
        <div className="viewer-over">
          <div className="panel">
            <Over phase={phase} desktop={desktop} stream={stream} />
          </div>
        </div>
      )}
      <div className="viewer-top" ref={barBox}>
        <div className="viewer-bar" hidden={!bar.shown} role="toolbar" aria-label={t('viewer.bar')}>
          <Bar
            desktop={desktop}
            viewOnly={viewOnly}
            quality={quality}
            clipboard={clipboard}
            fit={fit}
            isFullScreen={isFullScreen}
            acts={{ ...acts, stop: () => setAsking(true) }}
          />
        </div>
        <button
          type="button"
          ref={handle}
          className={bar.shown ? 'viewer-handle up' : 'viewer-handle'}
          aria-label={t(bar.shown ? 'viewer.hide_bar' : 'viewer.show_bar')}
          aria-expanded={bar.shown}
          onClick={bar.toggle}
        >
          <IconChevronDown size={14} />
        </button>
      </div>
      <div className="viewer-banners">
        {!viewOnly && (watchers.length > 0 || banner) && (
          <div className="warn" role="status">
            <IconEye size={18} />
            <Text size="sm">
              {watchers.length > 0
                ? t('viewer.watched', { names: watchers.join(', ') })
                : banner && 'text' in banner && banner.text}
            </Text>
          </div>
        )}
        {message && 'text' in message && (
          <div role="alert">
            <Text size="sm">{t('viewer.message', { by: message.by, text: message.text })}</Text>
            <CloseButton aria-label={t('act.close')} onClick={() => setMessage(null)} />
          </div>
        )}
        {!viewOnly && <NoticeBanner desktop={desktop} />}
        {!viewOnly && <StoppingSoon desktop={desktop} said={stopping} acts={acts} />}
      </div>
      <Modal
        opened={asking}
        onClose={() => setAsking(false)}
        title={t('viewer.stop_title', { name: desktop.name })}
        closeButtonProps={{ 'aria-label': t('act.close') }}
      >
        <Text size="sm" mb="md">
          {t('viewer.stop_sure')}
        </Text>
        <Group justify="flex-end">
          <Button variant="default" onClick={() => setAsking(false)}>
            {t('act.cancel')}
          </Button>
          <Button color="red" onClick={acts.stop}>
            {t('viewer.stop_go')}
          </Button>
        </Group>
      </Modal>
      <div className="visually-hidden" aria-live="polite">
        {left && t('keyboard.left')}
      </div>
    </main>
  );
}

export default function Viewer() {
  const { id = '' } = useParams();
  const navigate = useNavigate();
  const location = useLocation();
  const query = useDesktop(id);
  const desktop = query.data;
  const look =
    (location.state as LookState | null)?.mode === 'view' ? (location.state as LookState) : null;
  // Once shown, the screen stays and says itself what became of the desktop.
  const [shown, setShown] = useState(false);
  const live = desktop !== undefined && isLive(desktop);
  if (live && !shown) setShown(true);
  const away = desktop !== undefined && !live && !shown;
  useEffect(() => {
    if (away) void navigate(`/desktops/${id}`, { replace: true });
  }, [away, id, navigate]);
  const name = desktop?.name;
  useEffect(() => {
    if (name) document.title = `${name} · Sluice`;
  }, [name]);
  if (query.isError && !desktop) {
    return <ErrorLine error={query.error} retry={() => void query.refetch()} />;
  }
  if (!desktop || away) return <Waiting />;
  return <Screen desktop={desktop} look={look} />;
}
