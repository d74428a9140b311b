// SPDX-License-Identifier: Apache-2.0
// Says what was done, with a button that takes it back.
import { Button, Group, Text } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useCallback } from 'react';
import { useWords } from '../i18n';
import { useSayError } from './Say';

const kShownMs = 15_000;

export function useSayDone(): (message: string, undo: () => Promise<unknown>) => void {
  const { t } = useWords();
  const sayError = useSayError();
  return useCallback(
    (message, undo) => {
      const takeBack = () => {
        notifications.hide(id);
        undo().catch(sayError);
      };
      const id = notifications.show({
        autoClose: kShownMs,
        message: (
          <Group justify="space-between" wrap="nowrap">
            <Text size="sm">{message}</Text>
            <Button variant="default" size="compact-sm" onClick={takeBack}>
              {t('act.undo')}
            </Button>
          </Group>
        ),
      });
    },
    [t, sayError],
  );
}
