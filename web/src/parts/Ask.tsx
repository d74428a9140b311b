// SPDX-License-Identifier: Apache-2.0
// Asks for one line of text before an act: a message, a reason.
import { Text, TextInput } from '@mantine/core';
import { useState } from 'react';
import { FormDialog } from './FormDialog';

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
  const [text, setText] = useState('');
  const ready = props.expect === undefined ? text.trim() !== '' : text.trim() === props.expect;
  return (
    <FormDialog
      title={props.title}
      go={props.go}
      onGo={() => props.onGo(text.trim())}
      onClose={props.onClose}
      ready={ready}
      busy={props.busy}
      danger={props.danger}
    >
      <Text size="sm">{props.why}</Text>
      <TextInput
        label={props.label}
        value={text}
        onChange={(e) => setText(e.currentTarget.value)}
        maxLength={props.maxLength ?? 200}
        autoComplete="off"
        data-autofocus
      />
    </FormDialog>
  );
}
