// SPDX-License-Identifier: Apache-2.0
// Somebody signed in with a one-time password: nothing else works until they have their own.
import { Button, Group, Text } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { meQuery } from '../api/queries';
import { useWords } from '../i18n';
import { useSignOut } from '../parts/Frame';
import { PasswordForm } from '../parts/PasswordForm';
import { Gate } from './SignIn';

export function NewPassword() {
  const { t } = useWords();
  const client = useQueryClient();
  const signOut = useSignOut();
  return (
    <Gate title={t('password.first_title')}>
      <Text c="dimmed" size="sm" mb="sm">
        {t('password.first_why')}
      </Text>
      <PasswordForm
        currentLabel={t('password.one_time')}
        onDone={() => void client.fetchQuery({ ...meQuery, staleTime: 0 })}
      />
      <Group justify="center" mt="sm">
        <Button variant="subtle" color="gray" size="xs" onClick={() => signOut.mutate(false)}>
          {t('nav.sign_out')}
        </Button>
      </Group>
    </Gate>
  );
}
