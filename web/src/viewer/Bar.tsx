// SPDX-License-Identifier: Apache-2.0
// The slim bar of the desktop view.
import { Button, Menu, Popover, Radio, Select, Stack, Text, Textarea } from '@mantine/core';
import { useState } from 'react';
import { Link } from 'react-router';
import type { Desktop } from '../api/types';
import { clock, until } from '../format';
import { useWords } from '../i18n';
import {
  IconArrowsMaximize,
  IconArrowsMinimize,
  IconClipboard,
  IconClock,
  IconDeviceDesktop,
  IconKeyboard,
  IconPower,
} from '../parts/icons';
import { layoutOptions } from '../parts/layouts';
import { useNow } from '../parts/now';
import type { DesktopClipboard } from './clipboard';
import { Meter } from './Meter';
import { closedBy } from './panels';
import { gradeOf, type Quality } from './quality';

export type Fit = 'resize' | 'scale' | 'actual';

const kShownCharsMax = 20_000;
const kExtensions = [30, 60, 240];

function QualityDot({ quality }: { quality: Quality }) {
  const { t } = useWords();
  const grade = gradeOf(quality);
  return (
    <Popover clickOutsideEvents={closedBy} position="bottom" withArrow>
      <Popover.Target>
        <Button variant="subtle" color="gray" size="compact-sm">
          <span className="with-icon">
            <i className={`quality-dot ${grade}`} />
            <span className="visually-hidden">{t(`quality.${grade}`)}</span>
            {quality.roundTripMs !== null && `${quality.roundTripMs} ms`}
          </span>
        </Button>
      </Popover.Target>
      <Popover.Dropdown>
        <Text size="sm" fw={600} mb={4}>
          {t(`quality.${grade}`)}
        </Text>
        <dl className="facts">
          <dt>{t('quality.round_trip')}</dt>
          <dd>{quality.roundTripMs === null ? '–' : `${quality.roundTripMs} ms`}</dd>
          <dt>{t('quality.rate')}</dt>
          <dd>{quality.mbitPerS.toFixed(2)} Mbit/s</dd>
          <dt>{t('quality.updates')}</dt>
          <dd>{quality.updatesPerS}/s</dd>
        </dl>
      </Popover.Dropdown>
    </Popover>
  );
}

function ClipboardPanel({ clipboard }: { clipboard: DesktopClipboard }) {
  const { t } = useWords();
  const [text, setText] = useState<string | null>(null);
  // A field with a megabyte in it would stall the page; the clipboard itself got all of it.
  const shown = text ?? clipboard.fromDesktop.slice(0, kShownCharsMax);
  return (
    <Popover
      clickOutsideEvents={closedBy}
      position="bottom"
      withArrow
      trapFocus
      width={320}
      onOpen={() => setText(null)}
    >
      <Popover.Target>
        <Button
          variant="subtle"
          color="gray"
          size="compact-sm"
          leftSection={<IconClipboard size={16} />}
        >
          {t('clipboard.title')}
        </Button>
      </Popover.Target>
      <Popover.Dropdown>
        <Stack gap="xs">
          <Text size="sm" c="dimmed">
            {t(`clipboard.access.${clipboard.access}`)}
          </Text>
          {clipboard.access === 'prompt' && (
            <Button variant="default" size="xs" onClick={() => void clipboard.sendLocal()}>
              {t('clipboard.allow')}
            </Button>
          )}
          <Textarea
            label={t('clipboard.text')}
            value={shown}
            onChange={(e) => setText(e.currentTarget.value)}
            autosize
            minRows={3}
            maxRows={10}
            data-autofocus
          />
          <Button size="xs" disabled={text === null} onClick={() => clipboard.send(shown)}>
            {t('clipboard.send')}
          </Button>
        </Stack>
      </Popover.Dropdown>
    </Popover>
  );
}

export interface BarActs {
  setFit: (fit: Fit) => void;
  setLayout: (layout: string) => void;
  ctrlAltDel: () => void;
  leaveKeyboard: () => void;
  fullScreen: () => void;
  extend: (minutes: number) => void;
  stop: () => void;
}

function TimeLeft({ desktop, acts }: { desktop: Desktop; acts: BarActs }) {
  const { t, tn, language } = useWords();
  const now = useNow(15_000);
  if (!desktop.stops_at) return null;
  return (
    <Menu clickOutsideEvents={closedBy} position="bottom">
      <Menu.Target>
        <Button
          variant="subtle"
          color="gray"
          size="compact-sm"
          leftSection={<IconClock size={16} />}
        >
          {t(desktop.stops_because === 'idle' ? 'stops.at_idle' : 'stops.at', {
            time: clock(desktop.stops_at, language),
            left: until(desktop.stops_at, language, now),
          })}
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>{t('extend.title')}</Menu.Label>
        {kExtensions.map((minutes) => (
          <Menu.Item key={minutes} onClick={() => acts.extend(minutes)}>
            {minutes % 60 === 0 ? tn('time.hours', minutes / 60) : tn('time.minutes', minutes)}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}

export function Bar(props: {
  desktop: Desktop;
  viewOnly: boolean;
  quality: Quality;
  clipboard: DesktopClipboard;
  fit: Fit;
  isFullScreen: boolean;
  acts: BarActs;
}) {
  const { t, language } = useWords();
  const { desktop, viewOnly, fit, acts } = props;
  return (
    <>
      <span className="viewer-name" title={desktop.name}>
        {desktop.name}
      </span>
      <QualityDot quality={props.quality} />
      <Meter desktop={desktop} />
      <span className="divider" />
      {viewOnly ? (
        <Text size="sm" fw={600}>
          {t('viewer.view_only')}
        </Text>
      ) : (
        <>
          <ClipboardPanel clipboard={props.clipboard} />
          <Popover clickOutsideEvents={closedBy} position="bottom" withArrow trapFocus width={260}>
            <Popover.Target>
              <Button
                variant="subtle"
                color="gray"
                size="compact-sm"
                leftSection={<IconKeyboard size={16} />}
              >
                {t('keyboard.title')}
              </Button>
            </Popover.Target>
            <Popover.Dropdown>
              <Stack gap="xs">
                <Select
                  label={t('keyboard.layout')}
                  data={layoutOptions(language)}
                  value={desktop.keyboard_layout || 'us'}
                  onChange={(v) => v && acts.setLayout(v)}
                  comboboxProps={{ withinPortal: false }}
                />
                <Button variant="default" size="xs" onClick={acts.ctrlAltDel}>
                  {t('keyboard.ctrl_alt_del')}
                </Button>
                <Text size="xs" c="dimmed">
                  {t('keyboard.leave')}
                </Text>
              </Stack>
            </Popover.Dropdown>
          </Popover>
        </>
      )}
      <Popover clickOutsideEvents={closedBy} position="bottom" withArrow trapFocus>
        <Popover.Target>
          <Button
            variant="subtle"
            color="gray"
            size="compact-sm"
            leftSection={<IconDeviceDesktop size={16} />}
          >
            {t('display.title')}
          </Button>
        </Popover.Target>
        <Popover.Dropdown>
          <Radio.Group
            value={fit}
            onChange={(v) => acts.setFit(v as Fit)}
            label={t('display.title')}
          >
            <Stack gap="xs" mt="xs">
              {!viewOnly && <Radio value="resize" label={t('display.resize')} />}
              <Radio value="scale" label={t('display.scale')} />
              <Radio value="actual" label={t('display.actual')} />
            </Stack>
          </Radio.Group>
        </Popover.Dropdown>
      </Popover>
      <Button
        variant="subtle"
        color="gray"
        size="compact-sm"
        aria-label={t(props.isFullScreen ? 'viewer.leave_full' : 'viewer.full')}
        title={t(props.isFullScreen ? 'viewer.leave_full' : 'viewer.full')}
        onClick={acts.fullScreen}
      >
        {props.isFullScreen ? <IconArrowsMinimize size={16} /> : <IconArrowsMaximize size={16} />}
      </Button>
      <span className="divider" />
      <TimeLeft desktop={desktop} acts={acts} />
      <Menu clickOutsideEvents={closedBy} position="bottom-end">
        <Menu.Target>
          <Button
            variant="subtle"
            color="gray"
            size="compact-sm"
            leftSection={<IconPower size={16} />}
          >
            {t('viewer.end')}
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item component={Link} to={viewOnly ? '/live' : '/'}>
            {t(viewOnly ? 'viewer.leave_look' : 'viewer.leave')}
          </Menu.Item>
          {!viewOnly && (
            <Menu.Item color="red" onClick={acts.stop}>
              {t('viewer.stop')}
            </Menu.Item>
          )}
        </Menu.Dropdown>
      </Menu>
    </>
  );
}
