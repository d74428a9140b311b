// SPDX-License-Identifier: Apache-2.0
// A secret that is shown once.
import { Button, CopyButton, Group, Modal, Stack, Text } from '@mantine/core';
import { useWords } from '../i18n';

export function Secret(props: { title: string; why: string; value: string; onClose: () => void }) {
  const { t } = useWords();
  return (
    <Modal
      opened
      onClose={props.onClose}
      title={props.title}
      closeOnClickOutside={false}
      closeButtonProps={{ 'aria-label': t('act.close') }}
    >
      <Stack gap="sm">
        <Text size="sm">{props.why}</Text>
        <code className="log" data-secret>
          {props.value}
        </code>
        <Group justify="flex-end">
          <CopyButton value={props.value}>
            {({ copied, copy }) => (
              <Button variant="default" onClick={copy}>
                {t(copied ? 'act.copied' : 'act.copy')}
              </Button>
            )}
          </CopyButton>
          <Button onClick={props.onClose}>{t('secret.done')}</Button>
        </Group>
      </Stack>
    </Modal>
  );
}
