// A dashboard's JSON, as far as it is drawn, and the variables that its texts and queries have in them.
import type { DataTransformerConfig, FieldConfigSource } from '@grafana/data';

export interface Target {
  refId: string;
  expr: string;
  legendFormat?: string;
  instant?: boolean;
  range?: boolean;
  format?: string;
}

export interface Panel {
  id: number;
  type: string;
  title: string;
  description?: string;
  gridPos: { x: number; y: number; w: number; h: number };
  targets?: Target[];
  fieldConfig?: FieldConfigSource;
  options?: Record<string, any>; // each kind of panel has options of its own
  transformations?: DataTransformerConfig[];
  collapsed?: boolean; // a row's: its panels are in `panels`, hidden until the reader opens it
  panels?: Panel[];
}

export interface Variable {
  name: string;
  label?: string;
  allValue?: string;
  current?: { value?: string | string[] };
}

export interface Dashboard {
  uid: string;
  title: string;
  panels: Panel[];
  templating: { list: Variable[] };
}

export interface Row {
  title: string;
  collapsed: boolean;
  panels: Panel[];
}

export type Values = Record<string, string>;

/** The panels below each heading, those of closed rows as well. */
export function rowsOf(dashboard: Dashboard): Row[] {
  const rows: Row[] = [];
  for (const panel of dashboard.panels) {
    if (panel.type === 'row') {
      rows.push({ title: panel.title, collapsed: panel.collapsed ?? false, panels: [...(panel.panels ?? [])] });
    } else if (rows.length === 0) {
      rows.push({ title: 'Head', collapsed: false, panels: [panel] });
    } else {
      rows[rows.length - 1].panels.push(panel);
    }
  }
  return rows;
}

/** What each variable stands for: as `chosen`, else what the dashboard opens with. */
export function valuesOf(dashboard: Dashboard, chosen: Values): Values {
  const values: Values = { __rate_interval: '1m' };
  for (const variable of dashboard.templating.list) {
    const current = variable.current?.value ?? '';
    const all = current === '$__all' || (Array.isArray(current) && current.includes('$__all'));
    values[variable.name] = all ? (variable.allValue ?? '.*') : String(current);
  }
  return { ...values, ...chosen };
}

export function filled(text: string | undefined, values: Values): string {
  return (text ?? '').replace(/\$(?:\{(\w+)\}|(\w+))/g, (whole, braced, bare) => values[braced ?? bare] ?? whole);
}
