// DICOM JSON (PS3.18 Annex F), as the server's metadata give it.

export interface Element { vr: string; Value?: unknown[]; BulkDataURI?: string; InlineBinary?: string }
export type Dataset = Record<string, Element>;

export function all<T>(data: Dataset, tag: string): T[] {
  return (data[tag]?.Value ?? []) as T[];
}

export function first<T>(data: Dataset | undefined, tag: string): T | undefined {
  return data?.[tag]?.Value?.[0] as T | undefined;
}

export function text(data: Dataset, tag: string): string {
  const value = first<unknown>(data, tag);
  if (value && typeof value === 'object') {
    return String((value as Record<string, string>)['Alphabetic'] ?? '').replaceAll('^', ' ').trim();
  }
  return value === undefined || value === null ? '' : String(value);
}

export function number(data: Dataset | undefined, tag: string, otherwise: number): number {
  const value = first<unknown>(data, tag);
  const found = value === undefined || value === null ? Number.NaN : Number(value);
  return Number.isFinite(found) ? found : otherwise;
}

export function numbers(data: Dataset | undefined, tag: string): number[] {
  return data ? all<unknown>(data, tag).map(Number).filter(Number.isFinite) : [];
}

export const UID = { study: '0020000D', series: '0020000E', instance: '00080018' } as const;

/** An item of a frame's functional groups, or of the shared ones (PS3.3 C.7.6.16). */
export function group(data: Dataset, frame: number, sequence: string): Dataset | undefined {
  const own = all<Dataset>(data, '52009230')[frame - 1];
  const shared = first<Dataset>(data, '52009229');
  return first<Dataset>(own, sequence) ?? first<Dataset>(shared, sequence);
}
