// SPDX-License-Identifier: Apache-2.0
// A form in a dialog: what went wrong above the fields, the ways out and on below them.
import { Alert, Button, Group, Modal, Stack } from '@mantine/core';
import type { ReactNode } from 'react';
import { useWords } from '../i18n';
import { explain } from './Say';

// What a failed action says, in the place where it was asked for; nothing without an error.
export function Failure({ error }: { error: unknown }) {
  const words = useWords();
  if (!error) return null;
  const { title, detail } = explain(error, words);
  return (
    <Alert color="red" role="alert" title={title}>
      {detail}
    </Alert>
  );
}

export function FormDialog(props: {
  title: string;
  go: string;
  onGo: () => void;
  onClose: () => void;
  // False: it cannot go yet, by Enter neither.
  ready?: boolean;
  busy?: boolean;
  danger?: boolean;
  // For a form with fields beside each other.
  wide?: boolean;
  // Of the form as a whole; what is wrong with one field stands at that field.
  error?: unknown;
  children: ReactNode;
}) {
  const { t } = useWords();
  const { ready = true } = props;
  return (
    <Modal
      opened
      onClose={props.onClose}
      title={props.title}
      size={props.wide ? 'lg' : undefined}
      closeButtonProps={{ 'aria-label': t('act.close') }}
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (ready && !props.busy) props.onGo();
        }}
      >
        <Stack gap="sm">
          <Failure error={props.error} />
          {props.children}
          <Group justify="flex-end">
            <Button variant="default" onClick={props.onClose}>
              {t('act.cancel')}
            </Button>
            <Button
              type="submit"
              color={props.danger ? 'red' : undefined}
              disabled={!ready}
              loading={props.busy}
            >
              {props.go}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
