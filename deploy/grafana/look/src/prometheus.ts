// What panels ask, put to Prometheus as Grafana's data source puts it, and its answers as Grafana's data frames.
import { type DataFrame, FieldType, toDataFrame } from '@grafana/data';
import { filled, type Panel, type Target, type Values } from './dashboard';

export interface Span {
  from: number; // seconds
  to: number;
  step: number;
}

type Sample = [number, string];

interface Series {
  metric: Record<string, string>;
  value?: Sample;
  values?: Sample[];
}

export async function framesOf(panel: Panel, values: Values, span: Span): Promise<DataFrame[]> {
  const answers = await Promise.all((panel.targets ?? []).map((target) => answered(target, values, span)));
  return answers.flat();
}

async function answered(target: Target, values: Values, span: Span): Promise<DataFrame[]> {
  const expression = filled(target.expr, values);
  const series = await ask(expression, target.instant === true && !target.range, span);
  const legend = filled(target.legendFormat, values);
  if (target.format === 'table') {
    return series.length ? [table(target.refId, series)] : [];
  }
  const frames = series.map((one) => frame(target.refId, named(legend, one.metric, expression), one, span));
  return target.format === 'heatmap' ? withoutLower(frames) : frames;
}

async function ask(expression: string, instant: boolean, { from, to, step }: Span): Promise<Series[]> {
  const query = encodeURIComponent(expression);
  const start = Math.ceil(from / step) * step;
  const path = instant
    ? `query?query=${query}&time=${to}`
    : `query_range?query=${query}&start=${start}&end=${to}&step=${step}`;
  const answer = await (await fetch(`/prometheus/api/v1/${path}`)).json();
  if (answer.status !== 'success') {
    throw new Error(answer.error);
  }
  return answer.data.resultType === 'scalar' ? [{ metric: {}, value: answer.data.result }] : answer.data.result;
}

function named(legend: string, labels: Record<string, string>, expression: string): string {
  if (legend && legend !== '__auto') {
    return legend.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => labels[label] ?? '');
  }
  const written = Object.entries(labels).map(([name, value]) => `${name}="${value}"`);
  return written.length ? `{${written.join(', ')}}` : expression;
}

/** One series; a step without a sample is null, so that lines have gaps where Prometheus has none. */
function frame(refId: string, name: string, series: Series, span: Span): DataFrame {
  const samples = series.values ?? [series.value!];
  const times: number[] = [];
  const values: Array<number | null> = [];
  for (const [time, value] of samples) {
    const before = times.at(-1);
    if (before !== undefined && time * 1000 - before > span.step * 1500) {
      times.push(before + span.step * 1000);
      values.push(null);
    }
    times.push(time * 1000);
    values.push(Number(value));
  }
  return toDataFrame({
    refId,
    name,
    fields: [
      { name: 'Time', type: FieldType.time, values: times, config: {} },
      { name: 'Value', type: FieldType.number, labels: series.metric, values, config: { displayNameFromDS: name } },
    ],
  });
}

function table(refId: string, series: Series[]): DataFrame {
  const labels = [...new Set(series.flatMap((one) => Object.keys(one.metric)))].sort();
  const last = (one: Series): Sample => one.value ?? one.values!.at(-1)!;
  return toDataFrame({
    refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: series.map((one) => last(one)[0] * 1000), config: {} },
      ...labels.map((label) => ({
        name: label,
        type: FieldType.string,
        values: series.map((one) => one.metric[label] ?? ''),
        config: {},
      })),
      { name: 'Value', type: FieldType.number, values: series.map((one) => Number(last(one)[1])), config: {} },
    ],
  });
}

/** Prometheus's buckets include those below them; Grafana shows each without. */
function withoutLower(frames: DataFrame[]): DataFrame[] {
  const bound = (one: DataFrame) => Number(one.fields[1].labels!.le.replace('+Inf', 'Infinity'));
  const sorted = [...frames].sort((one, other) => bound(one) - bound(other));
  return sorted.map((one, index) => {
    const below = index ? sorted[index - 1].fields[1].values : [];
    const values = one.fields[1].values.map((value, at) => Math.max(0, value - (below[at] ?? 0)));
    return { ...one, fields: [one.fields[0], { ...one.fields[1], values }] };
  });
}
