// SPDX-License-Identifier: Apache-2.0
// A table whose rows take the focus: arrows walk them, Home and End go to the ends.
import type { KeyboardEvent, ReactNode } from 'react';
import { useWords } from '../i18n';

function walk(event: KeyboardEvent<HTMLTableSectionElement>) {
  const row = (event.target as HTMLElement).closest('tr');
  if (event.target !== row) return;
  const rows = [...event.currentTarget.querySelectorAll<HTMLElement>('tr[tabindex]')];
  const at = rows.indexOf(row);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  rows[to]?.focus();
}

export function Rows(props: { label: string; head: ReactNode[]; children: ReactNode }) {
  const { t } = useWords();
  return (
    <div className="panel table-wrap">
      <table aria-label={props.label}>
        <thead>
          <tr>
            {props.head.map((cell, i) => (
              <th key={i} scope="col">
                {cell === '' ? <span className="visually-hidden">{t('act.actions')}</span> : cell}
              </th>
            ))}
          </tr>
        </thead>
        <tbody onKeyDown={walk}>{props.children}</tbody>
      </table>
    </div>
  );
}
