// SPDX-License-Identifier: Apache-2.0
// A list of the portal's as a table: on its way, failed, empty, or its rows.
import type { UseQueryResult } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { Rows } from './Rows';
import { ErrorLine, Waiting } from './Say';

export function Listed<T>(props: {
  query: UseQueryResult<T[]>;
  label: string;
  head: ReactNode[];
  // In the table's place when there is nothing.
  empty?: ReactNode;
  row: (item: T) => ReactNode;
}) {
  const { query, empty } = props;
  if (query.isPending) return <Waiting />;
  if (query.isError) return <ErrorLine error={query.error} retry={() => void query.refetch()} />;
  if (query.data.length === 0 && empty !== undefined) return empty;
  return (
    <Rows label={props.label} head={props.head}>
      {query.data.map(props.row)}
    </Rows>
  );
}
