// SPDX-License-Identifier: Apache-2.0
// Another share for a desktop that exists: at once while it runs, else from its next start.
import { Text } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useState } from 'react';
import { ApiError } from '../api/client';
import { desktopActions, useDesktopAction, useOffers } from '../api/queries';
import type { Desktop, Gpu } from '../api/types';
import { kGiB, memory } from '../format';
import { useWords } from '../i18n';
import { ComputeFields, guaranteeByMemory, type ComputeWish } from './Compute';
import { FormDialog } from './FormDialog';
import { MemoryFields, toStep, type MemoryRange } from './Memory';

// The sizes that the slider offers: down to what is in use, up to what the card still has.
export function sizesFor(desktop: Desktop, gpus: Gpu[], step: number, least: number): MemoryRange {
  const held = desktop.allocation?.[0];
  const card = held && gpus.find((g) => g.id === held.gpu_id);
  const up = (bytes: number) => Math.ceil(bytes / step) * step;
  const max = card
    ? desktop.gpu.memory_bytes + card.free_bytes
    : Math.max(
        desktop.gpu.memory_bytes,
        ...gpus
          .filter((g) => desktop.gpu.model === null || g.model === desktop.gpu.model)
          .map((g) => g.memory_bytes),
      );
  const min = card ? Math.max(least, up(desktop.usage?.used_bytes ?? 0)) : least;
  return { min: Math.min(min, desktop.gpu.memory_bytes), max, step };
}

export function ResizeShare(props: { desktop: Desktop; gpus: Gpu[]; onClose: () => void }) {
  const words = useWords();
  const { t } = words;
  const { desktop, gpus, onClose } = props;
  const held = desktop.allocation?.[0];
  const [bytes, setBytes] = useState(desktop.gpu.memory_bytes);
  const [compute, setCompute] = useState<ComputeWish>({
    guarantee: desktop.gpu.guarantee_percent,
    cap: desktop.gpu.cap_percent,
  });
  const offers = useOffers(bytes);
  const resize = useDesktopAction(desktopActions.resize);
  const step = offers.data?.share_step_bytes ?? kGiB;
  const range = sizesFor(desktop, gpus, step, offers.data?.share_min_bytes ?? step);
  const card = held
    ? gpus.find((g) => g.id === held.gpu_id)
    : gpus.find((g) => desktop.gpu.model === null || g.model === desktop.gpu.model);
  const cap = resize.error instanceof ApiError ? resize.error.field('/cap_percent') : undefined;
  const go = () => {
    // Enter in the number field submits before it loses the focus.
    const wished = toStep(bytes, range);
    resize.mutate(
      [
        desktop,
        {
          memory_bytes: wished,
          guarantee_percent: compute.guarantee,
          cap_percent: compute.cap,
        },
      ],
      {
        onSuccess: () => {
          notifications.show({
            message: t('resize.said', { name: desktop.name, share: memory(wished) }),
          });
          onClose();
        },
      },
    );
  };
  return (
    <FormDialog
      title={t('resize.title', { name: desktop.name })}
      go={t('resize.apply')}
      onGo={go}
      onClose={onClose}
      busy={resize.isPending}
      error={resize.error}
    >
      <Text size="sm">
        {held
          ? t('resize.live', { used: memory(desktop.usage?.used_bytes ?? 0) })
          : t('resize.next')}
      </Text>
      <div>
        <MemoryFields bytes={bytes} range={range} set={setBytes} />
      </div>
      <ComputeFields
        wish={compute}
        byMemory={guaranteeByMemory(bytes, card?.memory_bytes ?? 0)}
        error={cap}
        set={setCompute}
      />
    </FormDialog>
  );
}
