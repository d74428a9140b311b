// SPDX-License-Identifier: Apache-2.0
// How the client says that something waits, failed or is empty.
import { Alert, Button, Group, Loader, Text } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useCallback, type ReactNode } from 'react';
import { ApiError } from '../api/client';
import { useWords, type Words } from '../i18n';
import { elapsed } from '../format';
import { sentence } from '../i18n/sentences';
import { IconAlertTriangle } from './icons';

// Whose title leaves nothing to add.
const saidByTitle = new Set(['wrong_credentials', 'unauthenticated', 'locked_out', 'rate_limited']);

// What happened, why, and what can be done, in the reader's language where the code is known.
// The server's own sentence comes along where it says more.
export function explain(error: unknown, words: Words): { title: string; detail: string } {
  if (!(error instanceof ApiError)) {
    return { title: words.t('error.client'), detail: error instanceof Error ? error.message : '' };
  }
  const { problem } = error;
  const wait = problem.retry_after_s ? elapsed(problem.retry_after_s * 1000, words.language) : '';
  const title = words.maybe(`error.${problem.code}`, { wait }) ?? problem.title;
  const detail = saidByTitle.has(problem.code) ? '' : sentence(problem.detail, words);
  return { title, detail };
}

// What is wrong with one field of the form, by its JSON pointer.
export function fieldSaid(error: unknown, pointer: string, words: Words): string | undefined {
  const said = error instanceof ApiError ? error.field(pointer) : undefined;
  return said && sentence(said, words);
}

export function Waiting() {
  const { t } = useWords();
  return (
    <div className="waiting" role="status">
      <Loader size="sm" type="dots" />
      <Text c="dimmed">{t('say.loading')}</Text>
    </div>
  );
}

export function ErrorLine({ error, retry }: { error: unknown; retry?: () => void }) {
  const words = useWords();
  const { title, detail } = explain(error, words);
  return (
    <Alert color="red" role="alert" icon={<IconAlertTriangle size={18} />} title={title} m="md">
      <Group justify="space-between">
        <Text size="sm">{detail}</Text>
        {retry && (
          <Button variant="default" size="xs" onClick={retry}>
            {words.t('act.retry')}
          </Button>
        )}
      </Group>
    </Alert>
  );
}

// Shows a failed action where the eye is not: in the corner, until it is closed.
export function useSayError(): (error: unknown) => void {
  const words = useWords();
  return useCallback(
    (error: unknown) => {
      const { title, detail } = explain(error, words);
      notifications.show({ color: 'red', title, message: detail, autoClose: 10_000 });
    },
    [words],
  );
}

export function PageHead({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <header className="page-head">
      <h1>{title}</h1>
      <Group gap="xs">{children}</Group>
    </header>
  );
}
