// A series as frames in the order in which a person scrolls through them.

import { type Dataset, UID, group, number, numbers, text } from './dicom';

export interface Frame {
  id: string; // of Cornerstone
  path: string; // below dicom-web/
  data: Dataset;
  number: number; // of the frame in its instance, from 1
  position: number[];
  orientation: number[];
  spacing: number[]; // between rows, between columns
}

const SPACING = ['00280030', '00181164', '00182010'];

export function frames(instances: Dataset[]): Frame[] {
  const found = instances.filter((data) => data['00280010']).flatMap(ofInstance);
  return ordered(found);
}

function ofInstance(data: Dataset): Frame[] {
  const [study, series, instance] = [text(data, UID.study), text(data, UID.series), text(data, UID.instance)];
  const count = Math.max(1, number(data, '00280008', 1));
  return Array.from({ length: count }, (_, i) => {
    const measures = group(data, i + 1, '00289110') ?? data;
    const spacing = SPACING.map((tag) => numbers(measures, tag)).find((v) => v.length === 2) ?? [];
    const path = `studies/${study}/series/${series}/instances/${instance}/frames/${i + 1}`;
    return {
      id: `pacslab:${path}`,
      path,
      data,
      number: i + 1,
      position: numbers(group(data, i + 1, '00209113') ?? data, '00200032'),
      orientation: numbers(group(data, i + 1, '00209116') ?? data, '00200037'),
      spacing,
    };
  });
}

/** By the place along the normal where there is one for all, else by Instance Number and frame. */
function ordered(all: Frame[]): Frame[] {
  const byNumber = (a: Frame, b: Frame) =>
    number(a.data, '00200013', 0) - number(b.data, '00200013', 0) || a.number - b.number;
  const normal = normalOf(all[0]);
  const places = new Map(all.map((f) => [f, f.position.length === 3 && normal ? dot(f.position, normal) : NaN]));
  const parallel = all.every((f) => {
    const own = normalOf(f);
    return own && normal && Math.abs(dot(own, normal)) > 0.99;
  });
  if (!normal || !parallel || [...places.values()].some(Number.isNaN)) return [...all].sort(byNumber);
  return [...all].sort((a, b) => (places.get(a) ?? 0) - (places.get(b) ?? 0) || byNumber(a, b));
}

function normalOf(frame: Frame | undefined): number[] | undefined {
  if (frame?.orientation.length !== 6) return undefined;
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = frame.orientation;
  return [b * f - c * e, c * d - a * f, a * e - b * d];
}

function dot(a: number[], b: number[]): number {
  return a.reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0);
}
