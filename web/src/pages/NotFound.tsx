// SPDX-License-Identifier: Apache-2.0
import { Button, Text } from '@mantine/core';
import { Link } from 'react-router';
import { useWords } from '../i18n';

export default function NotFound() {
  const { t } = useWords();
  return (
    <>
      <Text mb="md">{t('not_found')}</Text>
      <Button component={Link} to="/" variant="default">
        {t('nav.desktops')}
      </Button>
    </>
  );
}
