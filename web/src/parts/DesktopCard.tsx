// SPDX-License-Identifier: Apache-2.0
import { ActionIcon, Badge, Button, Menu, Text } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useState } from 'react';
import { Link } from 'react-router';
import { desktopActions, useDesktopAction } from '../api/queries';
import type { Desktop, Gpu } from '../api/types';
import { memory, memoryOf } from '../format';
import { useWords } from '../i18n';
import { DeleteDesktop } from './DeleteDesktop';
import { looks, modelWords, QueueLine, ReasonLine, StateWord, StopsLine } from './desktop';
import {
  IconAdjustments,
  IconDots,
  IconList,
  IconPlayerStop,
  IconRefresh,
  IconTrash,
} from './icons';
import { useToLaunch } from './launch';
import { MessageLine } from './Message';
import { ResizeShare } from './ResizeShare';
import { useSayError } from './Say';
import { CardBar, ShareBar } from './ShareBar';

// Starting leads to the launch page; so does Retry.
function useActs(desktop: Desktop) {
  const { t } = useWords();
  const launch = useToLaunch();
  const sayError = useSayError();
  const patch = useDesktopAction(desktopActions.patch);
  const restart = useDesktopAction(desktopActions.restart);
  const toLaunch = () => launch(desktop.id, desktop.ready_at);
  const start = () =>
    patch.mutate([desktop, { desired_state: 'running' }], {
      onSuccess: toLaunch,
      onError: sayError,
    });
  const stop = () =>
    patch.mutate([desktop, { desired_state: 'stopped' }], {
      onError: sayError,
      onSuccess: () =>
        notifications.show({ message: t('desktop.stop_said', { name: desktop.name }) }),
    });
  const again = () => restart.mutate([desktop], { onSuccess: toLaunch, onError: sayError });
  return { start, stop, again, busy: patch.isPending || restart.isPending };
}

export function MainButton({ desktop }: { desktop: Desktop }) {
  const { t } = useWords();
  const acts = useActs(desktop);
  switch (looks[desktop.state].act) {
    case 'open':
      return (
        <Button component={Link} to={`/desktops/${desktop.id}/view`}>
          {t('act.open')}
        </Button>
      );
    case 'watch':
      return (
        <Button component={Link} to={`/desktops/${desktop.id}`} variant="default">
          {t('act.watch')}
        </Button>
      );
    case 'leave_queue':
      return (
        <Button variant="default" onClick={acts.stop} loading={acts.busy}>
          {t('act.leave_queue')}
        </Button>
      );
    case 'start':
      return (
        <Button onClick={acts.start} loading={acts.busy}>
          {t('act.start')}
        </Button>
      );
    case 'retry':
      return (
        <Button onClick={acts.start} loading={acts.busy}>
          {t('act.retry')}
        </Button>
      );
    case 'none':
      return (
        <Button variant="default" disabled>
          {t(`state.${desktop.state}`)}
        </Button>
      );
  }
}

function More(props: { desktop: Desktop; onResize: () => void; onDelete: () => void }) {
  const { desktop, onResize, onDelete } = props;
  const { t } = useWords();
  const acts = useActs(desktop);
  const running = desktop.desired_state === 'running' && desktop.state !== 'failed';
  return (
    <Menu position="bottom-end">
      <Menu.Target>
        <ActionIcon
          variant="subtle"
          color="gray"
          size="lg"
          aria-label={t('desktop.more', { name: desktop.name })}
        >
          <IconDots size={18} />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Item
          component={Link}
          to={`/desktops/${desktop.id}`}
          leftSection={<IconList size={16} />}
        >
          {t('act.details')}
        </Menu.Item>
        {desktop.state !== 'queued' && (
          <Menu.Item leftSection={<IconAdjustments size={16} />} onClick={onResize}>
            {t('resize.act')}
          </Menu.Item>
        )}
        {running && (
          <>
            <Menu.Item leftSection={<IconPlayerStop size={16} />} onClick={acts.stop}>
              {t('act.stop')}
            </Menu.Item>
            <Menu.Item leftSection={<IconRefresh size={16} />} onClick={acts.again}>
              {t('act.restart')}
            </Menu.Item>
          </>
        )}
        <Menu.Item color="red" leftSection={<IconTrash size={16} />} onClick={onDelete}>
          {t('act.delete')}
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}

// My share as a picture and as text.
export function DesktopShare({ desktop, gpus }: { desktop: Desktop; gpus: Gpu[] }) {
  const words = useWords();
  const { t } = words;
  const held = desktop.allocation?.[0];
  const gpu = held && gpus.find((g) => g.id === held.gpu_id);
  const used = desktop.usage?.used_bytes;
  return (
    <div>
      {gpu ? (
        <CardBar gpu={gpu} mine={desktop.id} mineUsedBytes={used} />
      ) : (
        <ShareBar
          totalBytes={Math.max(desktop.gpu.memory_bytes, ...gpus.map((g) => g.memory_bytes))}
          simulated={held?.simulated ?? (gpus.length > 0 && gpus.every((g) => g.simulated))}
          label={t('share.wished', { limit: memory(desktop.gpu.memory_bytes) })}
          segments={[
            {
              id: 'wish',
              kind: held ? 'mine' : 'planned',
              memoryBytes: desktop.gpu.memory_bytes,
              usedBytes: used ?? 0,
              guaranteePercent: 0,
              label: desktop.name,
              lines: [desktop.name, t('share.limit', { limit: memory(desktop.gpu.memory_bytes) })],
            },
          ]}
        />
      )}
      <div className="line">
        <span>
          {used !== undefined
            ? t('share.used', { used: memoryOf(used, desktop.gpu.memory_bytes) })
            : t('share.of_one', { limit: memory(desktop.gpu.memory_bytes) })}
          {desktop.usage && ` · ${t('share.compute', { percent: desktop.usage.compute_percent })}`}
        </span>
        <span className="quiet">
          {held
            ? modelWords(held.gpu_model, held.simulated, words)
            : (desktop.gpu.model ?? t('share.any_model'))}
        </span>
      </div>
    </div>
  );
}

export function DesktopCard({ desktop, gpus }: { desktop: Desktop; gpus: Gpu[] }) {
  const { t, maybe } = useWords();
  const [deleting, setDeleting] = useState(false);
  const [resizing, setResizing] = useState(false);
  const look = looks[desktop.state];
  return (
    <article
      className="panel card"
      aria-label={desktop.name}
      data-desktop={desktop.id}
      data-state={desktop.state}
    >
      <div className="card-head">
        <div>
          <h2>{desktop.name}</h2>
          <Text size="sm" c="dimmed">
            {maybe(`template.${desktop.template_id}.name`) ?? desktop.template_id}
            {desktop.allocation?.[0]?.node && ` · ${desktop.allocation[0].node}`}
          </Text>
        </div>
        <StateWord state={desktop.state} />
      </div>
      <DesktopShare desktop={desktop} gpus={gpus} />
      <ReasonLine desktop={desktop} />
      <QueueLine desktop={desktop} />
      {look.live && <StopsLine desktop={desktop} />}
      <MessageLine desktop={desktop} />
      <div className="card-foot">
        <MainButton desktop={desktop} />
        {desktop.viewers > 0 && (
          <Badge variant="light" color="gray">
            {t('desktop.open_now')}
          </Badge>
        )}
        <span style={{ marginLeft: 'auto' }}>
          <More
            desktop={desktop}
            onResize={() => setResizing(true)}
            onDelete={() => setDeleting(true)}
          />
        </span>
      </div>
      {resizing && <ResizeShare desktop={desktop} gpus={gpus} onClose={() => setResizing(false)} />}
      {deleting && <DeleteDesktop desktop={desktop} onClose={() => setDeleting(false)} />}
    </article>
  );
}
