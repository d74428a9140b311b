// SPDX-License-Identifier: Apache-2.0
import { Button } from '@mantine/core';
import { Link } from 'react-router';
import { useWords } from '../i18n';
import { PageHead } from '../parts/Say';

export default function NotFound() {
  const { t } = useWords();
  return (
    <>
      <PageHead title={t('say.no_page')} />
      <Button component={Link} to="/" variant="default">
        {t('nav.desktops')}
      </Button>
    </>
  );
}
