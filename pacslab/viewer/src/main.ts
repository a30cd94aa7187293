// The page: what the address asks for is shown, and what is shown stands in the address.

import { type Dataset, UID, number, text } from './dicom';
import { install } from './loader';
import { frames } from './series';
import { blob, json, takeToken } from './server';
import { DRAWN, Stage, type Tool } from './stage';

const PRESETS: Record<string, [number, number]> = {
  'Soft tissue': [40, 400], Lung: [-600, 1500], Bone: [480, 2500], Brain: [40, 80], Liver: [60, 160], Mediastinum: [50, 350],
};
const CINE = 15; // pictures a second, where the object doesn't say

const element = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T;
const [list, tools, message, progress] = [element('series'), element('tools'), element('message'), element<HTMLProgressElement>('progress')];
const query = new URLSearchParams(location.search);

let stage: Stage;
let current = '';
let presets: HTMLSelectElement;

function state(value: 'loading' | 'ready' | 'failed'): void {
  document.body.dataset['state'] = value;
}

function say(why: string): void {
  message.textContent = why;
  message.hidden = false;
  state('failed');
}

function changed(): void {
  if (!stage?.frames.length || document.body.dataset['state'] === 'failed') return;
  for (const [id, words] of Object.entries(stage.corner())) element(id).textContent = words;
  const sides = stage.sides();
  const opposite = (letters: string) => letters.replace(/[LRAPHF]/g, (l) => ({ L: 'R', R: 'L', A: 'P', P: 'A', H: 'F', F: 'H' })[l] ?? l);
  const [east, south] = sides ?? ['', ''];
  element('east').textContent = east;
  element('south').textContent = south;
  element('west').textContent = opposite(east);
  element('north').textContent = opposite(south);
  remember();
}

function remember(): void {
  query.set('series', current);
  query.set('slice', String(stage.index + 1));
  const shown = stage.window;
  if (shown) {
    query.set('wc', String(Math.round(shown.center * 100) / 100));
    query.set('ww', String(Math.round(shown.width * 100) / 100));
  }
  history.replaceState(null, '', `${location.pathname}?${query}`);
}

async function open(study: string, series: string, wanted?: { slice: number; wc: number; ww: number }): Promise<void> {
  state('loading');
  message.hidden = true;
  current = series;
  for (const button of list.querySelectorAll('button')) button.setAttribute('aria-pressed', String(button.dataset['uid'] === series));
  const found = frames(await json(`studies/${study}/series/${series}/metadata`));
  if (!found.length) throw new Error('This series has no pictures.');
  await stage.show(found, (wanted?.slice ?? Math.floor(found.length / 2) + 1) - 1);
  if (wanted && wanted.ww > 0) stage.window = { center: wanted.wc, width: wanted.ww };
  offer();
  state('ready');
  changed();
  progress.hidden = found.length < 2;
  await stage.preload((share) => {
    progress.value = share;
    progress.hidden = share >= 1;
  });
}

function offer(): void {
  const own = stage.windows.map((w) => [w.name, w.center, w.width] as const);
  const common = text(stage.frame?.data ?? {}, '00080060') === 'CT' ? Object.entries(PRESETS).map(([n, [c, w]]) => [n, c, w] as const) : [];
  const options = [...own, ...common].map(([name, center, width]) => new Option(`${name} (${width}/${center})`, `${center},${width}`));
  presets.replaceChildren(new Option('Window…', ''), ...options);
}

function button(name: string, hint: string, act: (self: HTMLButtonElement) => void): HTMLButtonElement {
  const made = document.createElement('button');
  made.textContent = name;
  made.title = hint;
  made.addEventListener('click', () => act(made));
  tools.append(made);
  return made;
}

function toolbar(): void {
  const drawing = (Object.keys(DRAWN) as Tool[]).map((tool) =>
    button(tool, `${tool} with the left button`, () => {
      stage.use(tool);
      for (const one of drawing) one.setAttribute('aria-pressed', String(one.textContent === tool));
    }),
  );
  drawing[0]?.setAttribute('aria-pressed', 'true');
  presets = document.createElement('select');
  presets.setAttribute('aria-label', 'Window');
  presets.addEventListener('change', () => {
    const [center = NaN, width = NaN] = presets.value.split(',').map(Number);
    if (width > 0) stage.window = { center, width };
    presets.value = '';
  });
  tools.append(presets);
  button('Invert', 'I', () => stage.invert());
  button('Rotate', 'R', () => stage.rotate());
  button('Flip', 'F: left and right', () => stage.flip(true));
  button('Turn over', 'V: top and bottom', () => stage.flip(false));
  const cine = button('Play', 'Space', play);
  button('Reset', 'Escape', () => stage.reset());
  function play(): void {
    if (stage.plays) stage.stop();
    else stage.play(number(stage.frame?.data, '00082144', number(stage.frame?.data, '00180040', CINE)));
    cine.setAttribute('aria-pressed', String(stage.plays));
  }
  const keys: Record<string, () => void> = {
    ArrowDown: () => void stage.go(stage.index + 1), ArrowUp: () => void stage.go(stage.index - 1),
    PageDown: () => void stage.go(stage.index + 10), PageUp: () => void stage.go(stage.index - 10),
    Home: () => void stage.go(0), End: () => void stage.go(stage.frames.length - 1),
    i: () => stage.invert(), r: () => stage.rotate(), f: () => stage.flip(true), v: () => stage.flip(false),
    ' ': play, Escape: () => stage.reset(),
  };
  document.addEventListener('keydown', (event) => {
    const act = event.target instanceof HTMLSelectElement ? undefined : keys[event.key];
    if (act && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      act();
    }
  });
}

async function overview(study: string): Promise<Dataset[]> {
  const found = await json(`studies/${study}/series?includefield=SeriesDescription`);
  found.sort((a, b) => number(a, '00200011', 0) - number(b, '00200011', 0));
  for (const one of found) {
    const uid = text(one, UID.series);
    const entry = document.createElement('button');
    entry.dataset['uid'] = uid;
    const picture = new Image();
    picture.alt = '';
    const words = document.createElement('small');
    words.textContent = `${text(one, '00080060')} ${text(one, '0008103E')}`;
    const count = document.createElement('small');
    count.textContent = `${text(one, '00201209')} objects`;
    entry.append(picture, words, count);
    entry.addEventListener('click', () => open(study, uid).catch(fail));
    list.append(entry);
    blob(`studies/${study}/series/${uid}/thumbnail?viewport=128,128`, 'image/jpeg')
      .then((found) => (picture.src = URL.createObjectURL(found)))
      .catch(() => (picture.hidden = true));
  }
  return found;
}

function fail(error: unknown): void {
  say(`This can’t be shown: ${error instanceof Error ? error.message : String(error)}`);
}

async function begin(): Promise<void> {
  takeToken();
  const study = query.get('study') ?? '';
  if (!/^[0-9.]{1,64}$/.test(study)) throw new Error('the address names no study: /viewer/?study=UID');
  install();
  toolbar();
  stage = await Stage.make(element<HTMLDivElement>('viewport'), changed, (why) => say(`This picture can’t be shown: ${why}`), () => {
    if (!message.hidden && stage?.frames.length) {
      message.hidden = true;
      state('ready');
    }
  });
  Object.assign(window, { pacslab: { values: () => stage.values(), index: () => stage.index, window: () => stage.window, go: (i: number) => stage.go(i) } });
  const all = await overview(study);
  if (!all.length) throw new Error('there is no such study in this archive');
  const shown = all.filter((one) => !['SR', 'PR', 'KO', 'RTSTRUCT', 'RTPLAN', 'DOC', 'ECG'].includes(text(one, '00080060')));
  const series = query.get('series') ?? text(shown[0] ?? all[0] ?? {}, UID.series);
  const slice = Number(query.get('slice'));
  const wanted = slice > 0 ? { slice, wc: Number(query.get('wc')), ww: Number(query.get('ww')) } : undefined;
  await open(study, series, wanted);
}

begin().catch(fail);
