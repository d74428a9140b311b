// SPDX-License-Identifier: Apache-2.0
// Deleting names what is lost and what is kept, and asks for the desktop's name.
import { Radio, Stack, Text, TextInput } from '@mantine/core';
import { useState } from 'react';
import { desktopActions, useDesktopAction } from '../api/queries';
import type { Desktop } from '../api/types';
import { useWords } from '../i18n';
import { FormDialog } from './FormDialog';
import { useSayError } from './Say';

export function DeleteDesktop({ desktop, onClose }: { desktop: Desktop; onClose: () => void }) {
  const { t } = useWords();
  const sayError = useSayError();
  const [typed, setTyped] = useState('');
  const [home, setHome] = useState('keep');
  const remove = useDesktopAction(desktopActions.remove);
  const matches = typed.trim() === desktop.name.trim();
  const go = () =>
    remove.mutate([desktop, home === 'keep'], { onSuccess: onClose, onError: sayError });
  return (
    <FormDialog
      title={t('delete.title', { name: desktop.name })}
      go={t(home === 'keep' ? 'delete.go_keep' : 'delete.go_drop')}
      onGo={go}
      onClose={onClose}
      ready={matches}
      busy={remove.isPending}
      danger
    >
      <Text size="sm">{t('delete.lost')}</Text>
      <Radio.Group label={t('delete.home')} value={home} onChange={setHome}>
        <Stack gap="xs" mt="xs">
          <Radio value="keep" label={t('delete.home_keep')} />
          <Radio value="drop" label={t('delete.home_drop')} color="red" />
        </Stack>
      </Radio.Group>
      <TextInput
        label={t('delete.type', { name: desktop.name })}
        value={typed}
        onChange={(e) => setTyped(e.currentTarget.value)}
        autoComplete="off"
        data-autofocus
      />
    </FormDialog>
  );
}
