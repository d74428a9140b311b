// SPDX-License-Identifier: Apache-2.0
// Asks for one line of text before an act: a message, a reason.
import { Button, Group, Modal, Stack, Text, TextInput } from '@mantine/core';
import { useState } from 'react';
import { useWords } from '../i18n';

export function Ask(props: {
  title: string;
  why: string;
  label: string;
  go: string;
  danger?: boolean;
  // When set, only this text goes.
  expect?: string;
  maxLength?: number;
  busy?: boolean;
  onGo: (text: string) => void;
  onClose: () => void;
}) {
  const { t } = useWords();
  const [text, setText] = useState('');
  const ready = props.expect === undefined ? text.trim() !== '' : text.trim() === props.expect;
  return (
    <Modal
      opened
      onClose={props.onClose}
      title={props.title}
      closeButtonProps={{ 'aria-label': t('act.close') }}
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (ready) props.onGo(text.trim());
        }}
      >
        <Stack gap="sm">
          <Text size="sm">{props.why}</Text>
          <TextInput
            label={props.label}
            value={text}
            onChange={(e) => setText(e.currentTarget.value)}
            maxLength={props.maxLength ?? 200}
            autoComplete="off"
            data-autofocus
          />
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
