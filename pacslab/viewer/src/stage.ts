// The stage: one stack of pictures, the tools over it, and what stands in the corners.

import { Enums, RenderingEngine, eventTarget, imageLoader, init, utilities, type Types } from '@cornerstonejs/core';
import * as csTools from '@cornerstonejs/tools';
import { text } from './dicom';
import { frameOf, know, windows, type Window } from './loader';
import type { Frame } from './series';

const VIEWPORT = 'stack';
const GROUP = 'tools';
const { MouseBindings } = csTools.Enums;

export const DRAWN = {
  Window: csTools.WindowLevelTool.toolName,
  Pan: csTools.PanTool.toolName,
  Zoom: csTools.ZoomTool.toolName,
  Length: csTools.LengthTool.toolName,
  Angle: csTools.AngleTool.toolName,
  Ellipse: csTools.EllipticalROITool.toolName,
  Rectangle: csTools.RectangleROITool.toolName,
  Probe: csTools.ProbeTool.toolName,
} as const;
export type Tool = keyof typeof DRAWN;

const CLASSES = [
  csTools.WindowLevelTool, csTools.PanTool, csTools.ZoomTool, csTools.StackScrollTool, csTools.LengthTool,
  csTools.AngleTool, csTools.EllipticalROITool, csTools.RectangleROITool, csTools.ProbeTool,
];

export class Stage {
  frames: Frame[] = [];
  private readonly viewport: Types.IStackViewport;
  private playing: number | undefined;

  private constructor(
    private readonly element: HTMLDivElement,
    engine: RenderingEngine,
    private readonly changed: () => void,
    private readonly failed: (why: string) => void,
    arrived: () => void,
  ) {
    this.viewport = engine.getViewport(VIEWPORT) as Types.IStackViewport;
    for (const event of [Enums.Events.STACK_NEW_IMAGE, Enums.Events.VOI_MODIFIED, Enums.Events.CAMERA_MODIFIED, Enums.Events.IMAGE_RENDERED]) {
      element.addEventListener(event, () => this.changed());
    }
    element.addEventListener(Enums.Events.STACK_NEW_IMAGE, arrived);
    const tell = (event: Event) => {
      const { imageId, error } = (event as CustomEvent<{ imageId?: string; error?: Error }>).detail;
      if (imageId === this.frame?.id) this.failed(error?.message ?? 'it can’t be decoded');
    };
    eventTarget.addEventListener(Enums.Events.IMAGE_LOAD_FAILED, tell as EventListener);
    eventTarget.addEventListener(Enums.Events.IMAGE_LOAD_ERROR, tell as EventListener);
    new ResizeObserver(() => engine.resize(true, true)).observe(element);
  }

  static async make(
    element: HTMLDivElement, changed: () => void, failed: (why: string) => void, arrived: () => void,
  ): Promise<Stage> {
    const drawn = document.createElement('canvas').getContext('webgl2');
    await init({ rendering: { useCPURendering: drawn === null } } as Parameters<typeof init>[0]);
    csTools.init();
    const engine = new RenderingEngine('pacslab');
    engine.enableElement({ viewportId: VIEWPORT, type: Enums.ViewportType.STACK, element });
    for (const one of CLASSES) csTools.addTool(one);
    const group = csTools.ToolGroupManager.createToolGroup(GROUP);
    for (const one of CLASSES) group?.addTool(one.toolName);
    group?.addViewport(VIEWPORT, 'pacslab');
    group?.setToolActive(csTools.StackScrollTool.toolName, { bindings: [{ mouseButton: MouseBindings.Wheel }] });
    group?.setToolActive(csTools.PanTool.toolName, { bindings: [{ mouseButton: MouseBindings.Auxiliary }] });
    group?.setToolActive(csTools.ZoomTool.toolName, { bindings: [{ mouseButton: MouseBindings.Secondary }] });
    element.addEventListener('contextmenu', (event) => event.preventDefault());
    const stage = new Stage(element, engine, changed, failed, arrived);
    stage.use('Window');
    return stage;
  }

  get frame(): Frame | undefined {
    return frameOf(this.viewport.getCurrentImageId() ?? '') ?? this.frames[0];
  }

  get index(): number {
    return this.viewport.getCurrentImageIdIndex();
  }

  /** Show a stack. Throws what its first picture fails by: setStack itself would keep it. */
  async show(frames: Frame[], index: number): Promise<void> {
    this.stop();
    this.frames = frames;
    const ids = know(frames);
    const at = Math.max(0, Math.min(index, ids.length - 1));
    await imageLoader.loadAndCacheImage(ids[at] ?? '');
    await this.viewport.setStack(ids, at);
    this.viewport.resetCamera();
    this.viewport.render();
  }

  async go(index: number): Promise<void> {
    const at = Math.max(0, Math.min(index, this.frames.length - 1));
    await this.viewport.setImageIdIndex(at);
  }

  /** Load the rest, nearest first, four at a time. */
  async preload(progress: (share: number) => void): Promise<void> {
    const frames = this.frames;
    const here = this.index;
    const order = frames.map((_, i) => i).sort((a, b) => Math.abs(a - here) - Math.abs(b - here));
    let done = 0;
    const worker = async (): Promise<void> => {
      for (let i = order.shift(); i !== undefined && frames === this.frames; i = order.shift()) {
        await imageLoader.loadAndCacheImage(frames[i]?.id ?? '').catch(() => undefined);
        progress(++done / frames.length);
      }
    };
    await Promise.all(Array.from({ length: 4 }, worker));
  }

  use(tool: Tool): void {
    const group = csTools.ToolGroupManager.getToolGroup(GROUP);
    const primary = { mouseButton: MouseBindings.Primary };
    for (const name of Object.values(DRAWN)) {
      const bindings = name === DRAWN.Pan ? [{ mouseButton: MouseBindings.Auxiliary }]
        : name === DRAWN.Zoom ? [{ mouseButton: MouseBindings.Secondary }] : [];
      if (name === DRAWN[tool]) group?.setToolActive(name, { bindings: [primary, ...bindings] });
      else if (bindings.length) group?.setToolActive(name, { bindings });
      else group?.setToolPassive(name, { removeAllBindings: true });
    }
  }

  get window(): { center: number; width: number } | undefined {
    const range = this.viewport.getProperties().voiRange;
    if (!range) return undefined;
    const { windowCenter, windowWidth } = utilities.windowLevel.toWindowLevel(range.lower, range.upper);
    return { center: windowCenter, width: windowWidth };
  }

  set window(wanted: { center: number; width: number }) {
    this.viewport.setProperties({ voiRange: utilities.windowLevel.toLowHighRange(wanted.width, wanted.center) });
    this.viewport.render();
  }

  get windows(): Window[] {
    const frame = this.frame;
    return frame ? windows(frame) : [];
  }

  invert(): void {
    this.viewport.setProperties({ invert: !this.viewport.getProperties().invert });
    this.viewport.render();
  }

  rotate(): void {
    const { rotation = 0 } = this.viewport.getViewPresentation();
    this.viewport.setViewPresentation({ rotation: (rotation + 90) % 360 });
    this.viewport.render();
  }

  flip(horizontal: boolean): void {
    const { flipHorizontal = false, flipVertical = false } = this.viewport.getCamera();
    this.viewport.setCamera(horizontal ? { flipHorizontal: !flipHorizontal } : { flipVertical: !flipVertical });
    this.viewport.render();
  }

  reset(): void {
    this.viewport.resetProperties();
    this.viewport.setViewPresentation({ rotation: 0 });
    this.viewport.setCamera({ flipHorizontal: false, flipVertical: false });
    this.viewport.resetCamera();
    this.viewport.render();
  }

  get plays(): boolean {
    return this.playing !== undefined;
  }

  play(perSecond: number): void {
    this.playing = window.setInterval(() => void this.go((this.index + 1) % this.frames.length), 1000 / perSecond);
  }

  stop(): void {
    window.clearInterval(this.playing);
    this.playing = undefined;
  }

  get zoom(): number {
    return this.viewport.getZoom();
  }

  /** Directions of the patient at the edges: right of the screen, and below (PS3.3 C.7.6.1.1.1). */
  sides(): [string, string] | undefined {
    if (this.frame?.orientation.length !== 6) return undefined;
    const { clientWidth: w, clientHeight: h } = this.element;
    const at = (x: number, y: number) => this.viewport.canvasToWorld([x, y]);
    const from = at(w / 2, h / 2);
    const toward = (to: Types.Point3) => letters(to.map((v, i) => v - (from[i] ?? 0)));
    return [toward(at(w / 2 + 50, h / 2)), toward(at(w / 2, h / 2 + 50))];
  }

  /** The values of the picture that is shown, in the modality's units: for tests. */
  values(): number[] {
    return Array.from(this.viewport.getImageData()?.scalarData ?? []) as number[];
  }

  corner(): Record<'who' | 'what' | 'where' | 'how', string> {
    const data = this.frame?.data;
    if (!data) return { who: '', what: '', where: '', how: '' };
    const shown = this.window;
    const lines = (...each: string[]) => each.filter(Boolean).join('\n');
    return {
      who: lines(text(data, '00100010'), text(data, '00100020'), lines(text(data, '00100040'), text(data, '00101010')).replace('\n', ' ')),
      what: lines(text(data, '00081030'), text(data, '0008103E'), day(text(data, '00080020'))),
      where: lines(`${this.index + 1} / ${this.frames.length}`, place(this.frame), text(data, '00080060')),
      how: lines(shown ? `W ${Math.round(shown.width)}  L ${Math.round(shown.center)}` : '', `${Math.round(this.zoom * 100)} %`),
    };
  }
}

function letters(direction: number[]): string {
  const names = ['LR', 'PA', 'HF'];
  return direction
    .map((value, i) => ({ size: Math.abs(value), letter: names[i]?.[value > 0 ? 0 : 1] ?? '' }))
    .filter((one) => one.size > 0.25 * Math.hypot(...direction))
    .sort((a, b) => b.size - a.size)
    .map((one) => one.letter)
    .join('');
}

function place(frame: Frame | undefined): string {
  return frame?.position.length === 3 ? frame.position.map((v) => v.toFixed(1)).join(', ') + ' mm' : '';
}

function day(date: string): string {
  return date.replace(/^(\d{4})(\d\d)(\d\d)$/, '$1-$2-$3');
}
