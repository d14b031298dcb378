// A dashboard as Grafana would show it, row below row. The address says which one, in which theme, over which time:
// ?dashboard=tidegauge-live&theme=dark&to=1700000000&minutes=60&var-window=5m
import { createTheme, setTimeZoneResolver, ThemeContext } from '@grafana/data';
import { GlobalStyles } from '@grafana/ui';
import '@fontsource/inter/400.css';
import '@fontsource/inter/500.css';
import { useEffect, useRef, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { type Dashboard, filled, type Panel, rowsOf, valuesOf, type Values } from './dashboard';
import { DashboardPanel } from './panel';
import type { Span } from './prometheus';

const COLUMNS = 24;
const UNIT = 38; // pixels of one unit of height, with the gap between panels
const GAP = 8;
const WIDTH = 1600;

const asked = new URLSearchParams(location.search);
const theme = createTheme({ colors: { mode: asked.get('theme') === 'light' ? 'light' : 'dark' } });
setTimeZoneResolver(() => 'utc');

function spanAsked(): Span {
  const to = Number(asked.get('to') ?? Math.floor(Date.now() / 1000));
  const seconds = 60 * Number(asked.get('minutes') ?? 60);
  return { from: to - seconds, to, step: Number(asked.get('step') ?? 15) };
}

function chosen(): Values {
  const variables = [...asked].filter(([name]) => name.startsWith('var-'));
  return Object.fromEntries(variables.map(([name, value]) => [name.slice(4), value]));
}

function Page({ dashboard }: { dashboard: Dashboard }) {
  const values = valuesOf(dashboard, chosen());
  const rows = rowsOf(dashboard);
  const waiting = useRef(new Set(rows.flatMap((row) => row.panels.map((panel) => panel.id))));
  const empty = useRef<string[]>([]);
  const faults = useRef<string[]>([]);
  const drawn = (panel: Panel, without: boolean, error: string) => {
    if (error) {
      faults.current.push(`${filled(panel.title, values)}: ${error}`);
    }
    if (without) {
      empty.current.push(filled(panel.title, values));
    }
    waiting.current.delete(panel.id);
    if (waiting.current.size === 0) {
      document.body.dataset.empty = JSON.stringify(empty.current);
      document.body.dataset.faults = JSON.stringify(faults.current);
      requestAnimationFrame(() => requestAnimationFrame(() => (document.body.dataset.drawn = 'yes')));
    }
  };
  const column = WIDTH / COLUMNS;
  const span = spanAsked();
  return (
    <>
      {rows.map((row, number) => {
        const top = Math.min(...row.panels.map((panel) => panel.gridPos.y));
        const bottom = Math.max(...row.panels.map((panel) => panel.gridPos.y + panel.gridPos.h));
        return (
          <section key={number} data-row={filled(row.title, values)} style={{ width: WIDTH + GAP, padding: GAP }}>
            <h2 style={{ fontSize: 16, margin: '4px 0 8px' }}>
              {row.collapsed ? '› ' : '⌄ '}
              {filled(row.title, values)}
            </h2>
            <div style={{ position: 'relative', height: (bottom - top) * UNIT }}>
              {row.panels.map((panel) => {
                const { x, y, w, h } = panel.gridPos;
                return (
                  <div key={panel.id} style={{ position: 'absolute', left: x * column, top: (y - top) * UNIT }}>
                    <DashboardPanel
                      panel={panel}
                      values={values}
                      span={span}
                      width={w * column - GAP}
                      height={h * UNIT - GAP}
                      drawn={drawn}
                    />
                  </div>
                );
              })}
            </div>
          </section>
        );
      })}
    </>
  );
}

function Look() {
  const [dashboard, setDashboard] = useState<Dashboard>();
  useEffect(() => {
    fetch(`/dashboards/${asked.get('dashboard')}.json`)
      .then((answer) => answer.json())
      .then(setDashboard);
  }, []);
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <div style={{ background: theme.colors.background.canvas, color: theme.colors.text.primary }}>
        {dashboard && <Page dashboard={dashboard} />}
      </div>
    </ThemeContext.Provider>
  );
}

createRoot(document.getElementById('root')!).render(<Look />);
