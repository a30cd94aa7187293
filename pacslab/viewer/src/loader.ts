// Pictures for Cornerstone: the server decodes, so that what is right there is right here.

import { Enums, imageLoader, metaData, utilities, type Types } from '@cornerstonejs/core';
import { type Dataset, group, number, numbers, text } from './dicom';
import type { Frame } from './series';
import { blob, part } from './server';

const OCTETS = 'multipart/related; type="application/octet-stream"; transfer-syntax=1.2.840.10008.1.2.1';
const known = new Map<string, Frame>();

export function know(frames: Frame[]): string[] {
  for (const frame of frames) known.set(frame.id, frame);
  return frames.map((frame) => frame.id);
}

export function frameOf(id: string): Frame | undefined {
  return known.get(id);
}

export function install(): void {
  imageLoader.registerImageLoader('pacslab', (id: string) => ({ promise: load(id) as Promise<Record<string, unknown> & Types.IImage> }));
  metaData.addProvider((type: string, id: string) => {
    const frame = known.get(id);
    return frame ? modules(type, frame) : undefined;
  }, 100);
}

const grey = (data: Dataset) => text(data, '00280004').startsWith('MONOCHROME');

async function load(id: string): Promise<Types.IImage> {
  const frame = known.get(id);
  if (!frame) throw new Error(`${id} is no picture of this study`);
  return grey(frame.data) ? image(frame, await scaled(frame), 1) : image(frame, await coloured(frame), 4);
}

/** Stored values as bytes come: as many as rows and columns, or it is said. */
async function stored(frame: Frame): Promise<ArrayLike<number>> {
  const { data } = frame;
  const bytes = await part(frame.path, OCTETS);
  const size = number(data, '00280010', 0) * number(data, '00280011', 0);
  const bits = number(data, '00280100', 8);
  const signed = number(data, '00280103', 0) === 1;
  if (bits === 1) return unpacked(new Uint8Array(bytes), size);
  if (bytes.byteLength < (size * bits) / 8) {
    throw new Error(`the picture has ${bytes.byteLength} bytes, and ${(size * bits) / 8} are needed`);
  }
  if (bits === 8) return signed ? new Int8Array(bytes, 0, size) : new Uint8Array(bytes, 0, size);
  if (bits === 16) return signed ? new Int16Array(bytes, 0, size) : new Uint16Array(bytes, 0, size);
  if (data['7FE00008']) return new Float32Array(bytes, 0, size);
  if (bits === 32) return signed ? new Int32Array(bytes, 0, size) : new Uint32Array(bytes, 0, size);
  if (bits === 64) return new Float64Array(bytes, 0, size);
  throw new Error(`pictures of ${bits} bits a value can't be shown`);
}

function unpacked(bytes: Uint8Array, size: number): Uint8Array {
  const values = new Uint8Array(size);
  for (let i = 0; i < size; i++) values[i] = ((bytes[i >> 3] ?? 0) >> (i & 7)) & 1;
  return values;
}

/** In the modality's units (PS3.3 C.11.1), rescaled once and for all. */
async function scaled(frame: Frame): Promise<Float32Array> {
  const values = await stored(frame);
  const { slope, intercept } = rescale(frame);
  const made = new Float32Array(values.length);
  for (let i = 0; i < made.length; i++) made[i] = (values[i] ?? 0) * slope + intercept;
  return made;
}

function rescale(frame: Frame): { slope: number; intercept: number } {
  const from = group(frame.data, frame.number, '00289145') ?? frame.data;
  return { slope: number(from, '00281053', 1), intercept: number(from, '00281052', 0) };
}

/** Colour as the server renders it: palettes, YBR of every kind, planes, profiles. */
async function coloured(frame: Frame): Promise<Uint8ClampedArray> {
  const picture = await createImageBitmap(await blob(`${frame.path}/rendered`, 'image/png'));
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  if (!context) throw new Error('this browser has no canvas to draw on');
  context.drawImage(picture, 0, 0);
  return context.getImageData(0, 0, picture.width, picture.height).data;
}

function image(frame: Frame, values: Float32Array | Uint8ClampedArray, components: 1 | 4): Types.IImage {
  const { data } = frame;
  const rows = number(data, '00280010', 0);
  const columns = number(data, '00280011', 0);
  const colour = components === 4;
  const pixels = colour ? new Uint8Array(values) : values;
  let [low, high] = [Infinity, -Infinity];
  for (const value of pixels) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const window = windows(frame)[0] ?? { center: (low + high + 1) / 2, width: Math.max(1, high - low + 1) };
  const voxelManager = utilities.VoxelManager.createImageVoxelManager({
    width: columns, height: rows, numberOfComponents: components, scalarData: pixels as Types.PixelDataTypedArray,
  });
  return {
    imageId: frame.id, rows, columns, height: rows, width: columns,
    color: colour, rgba: colour, numberOfComponents: components,
    slope: 1, intercept: 0, minPixelValue: low, maxPixelValue: high,
    windowCenter: colour ? 128 : window.center, windowWidth: colour ? 256 : window.width,
    voiLUTFunction: Enums.VOILUTFunctionType.LINEAR,
    invert: text(data, '00280004') === 'MONOCHROME1',
    photometricInterpretation: colour ? 'RGB' : text(data, '00280004'),
    rowPixelSpacing: frame.spacing[0] ?? 1, columnPixelSpacing: frame.spacing[1] ?? 1,
    sizeInBytes: pixels.byteLength, dataType: pixels.constructor.name,
    preScale: { enabled: true, scaled: true, scalingParameters: { rescaleSlope: 1, rescaleIntercept: 0, modality: text(data, '00080060') } },
    getPixelData: () => voxelManager.getScalarData(),
    getCanvas: undefined, voxelManager,
  } as unknown as Types.IImage;
}

export interface Window { name: string; center: number; width: number }

/** The windows that the picture itself brings (PS3.3 C.11.2). */
export function windows(frame: Frame): Window[] {
  const from = group(frame.data, frame.number, '00289132') ?? frame.data;
  const [centers, widths] = [numbers(from, '00281050'), numbers(from, '00281051')];
  const names = (from['00281055']?.Value ?? []) as string[];
  return centers.flatMap((center, i) => {
    const width = widths[i];
    return width && width > 0 ? [{ name: names[i] ?? `Window ${i + 1}`, center, width }] : [];
  });
}

function modules(type: string, frame: Frame): unknown {
  const { data } = frame;
  const colour = !grey(data);
  const [x = 0, y = 0, z = 0] = frame.position;
  const o = frame.orientation.length === 6 ? frame.orientation : [1, 0, 0, 0, 1, 0];
  const rows = number(data, '00280010', 0);
  const columns = number(data, '00280011', 0);
  if (type === 'imagePixelModule') {
    return {
      samplesPerPixel: colour ? 4 : 1, photometricInterpretation: colour ? 'RGB' : text(data, '00280004'),
      rows, columns, bitsAllocated: colour ? 8 : 32, bitsStored: colour ? 8 : 32, highBit: colour ? 7 : 31,
      pixelRepresentation: colour ? 0 : 1,
    };
  }
  if (type === 'imagePlaneModule') {
    return {
      frameOfReferenceUID: text(data, '00200052') || text(data, '0020000E'), rows, columns,
      imageOrientationPatient: o, rowCosines: o.slice(0, 3), columnCosines: o.slice(3),
      imagePositionPatient: [x, y, z], sliceThickness: number(data, '00180050', 1),
      pixelSpacing: [frame.spacing[0] ?? 1, frame.spacing[1] ?? 1],
      rowPixelSpacing: frame.spacing[0] ?? null, columnPixelSpacing: frame.spacing[1] ?? null,
      usingDefaultValues: frame.spacing.length !== 2,
    };
  }
  if (type === 'generalSeriesModule') {
    return { modality: text(data, '00080060'), seriesInstanceUID: text(data, '0020000E'), seriesNumber: number(data, '00200011', 0) };
  }
  if (type === 'modalityLutModule') return { rescaleSlope: 1, rescaleIntercept: 0, rescaleType: text(data, '00281054') };
  if (type === 'voiLutModule' && !colour) {
    const found = windows(frame);
    return found.length ? { windowCenter: found.map((w) => w.center), windowWidth: found.map((w) => w.width) } : undefined;
  }
  return undefined;
}
