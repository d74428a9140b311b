// SPDX-License-Identifier: Apache-2.0
import { ActionIcon, CopyButton, Tooltip } from '@mantine/core';
import { useRef, type KeyboardEvent } from 'react';
import type { Template } from '../api/types';
import { useWords, type Words } from '../i18n';
import { IconCheck, IconCopy } from './icons';

// A template's name and summary: ours where we know it, else as the portal says it.
export function templateWords(template: Template, words: Words): { name: string; summary: string } {
  return {
    name: words.maybe(`template.${template.id}.name`) ?? template.name,
    summary: words.maybe(`template.${template.id}.summary`) ?? template.summary,
  };
}

export function CopyIcon({ value }: { value: string }) {
  const { t } = useWords();
  return (
    <CopyButton value={value}>
      {({ copied, copy }) => (
        <Tooltip label={t(copied ? 'act.copied' : 'act.copy')}>
          <ActionIcon
            variant="subtle"
            color="gray"
            size="sm"
            aria-label={t(copied ? 'act.copied' : 'act.copy')}
            onClick={(event) => {
              event.stopPropagation();
              copy();
            }}
          >
            {copied ? <IconCheck size={14} /> : <IconCopy size={14} />}
          </ActionIcon>
        </Tooltip>
      )}
    </CopyButton>
  );
}

// The commands that would make the template usable; several programs of one package are one line.
export function MissingPrograms({ template }: { template: Template }) {
  const { t } = useWords();
  const commands = [...new Set(template.missing.map((m) => m.install))];
  return (
    <div>
      <div className="install">
        {t('template.missing', { programs: template.missing.map((m) => m.program).join(', ') })}
      </div>
      {commands.map((command) => (
        <div className="install" key={command}>
          <code className="mono">{command}</code>
          <CopyIcon value={command} />
        </div>
      ))}
    </div>
  );
}

export function TemplatePicker(props: {
  templates: Template[];
  value: string;
  onChange: (template: Template) => void;
}) {
  const words = useWords();
  const list = useRef<HTMLDivElement>(null);
  const usable = props.templates.filter((t) => t.available);
  // Arrow keys walk a radio group.
  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (!step || usable.length === 0) return;
    event.preventDefault();
    const at = usable.findIndex((t) => t.id === props.value);
    const next = usable[(at + step + usable.length) % usable.length];
    if (!next) return;
    props.onChange(next);
    list.current?.querySelector<HTMLElement>(`[data-template="${CSS.escape(next.id)}"]`)?.focus();
  };
  const focusable = usable.some((t) => t.id === props.value) ? props.value : usable[0]?.id;
  return (
    <div
      className="two"
      role="radiogroup"
      aria-label={words.t('new.template')}
      ref={list}
      onKeyDown={onKeyDown}
    >
      {props.templates.map((template) => {
        const { name, summary } = templateWords(template, words);
        return (
          <div key={template.id} className="template-cell">
            <button
              type="button"
              role="radio"
              data-template={template.id}
              aria-checked={template.id === props.value}
              aria-disabled={!template.available}
              tabIndex={template.id === focusable ? 0 : -1}
              className="panel template"
              onClick={() => template.available && props.onChange(template)}
            >
              <strong>{name}</strong>
              <span className="quiet">{summary}</span>
            </button>
            {!template.available && <MissingPrograms template={template} />}
          </div>
        );
      })}
    </div>
  );
}
