// Everything that is asked of the server, with the token that the address brought.

import type { Dataset } from './dicom';

const root = new URL('../dicom-web/', document.baseURI);
let token = '';

/** Take the token from the fragment, and out of the address and the history. */
export function takeToken(): void {
  const given = new URLSearchParams(location.hash.slice(1)).get('token');
  if (given) {
    token = given;
    history.replaceState(history.state, '', location.pathname + location.search);
  }
}

export class Refused extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
  }
}

async function ask(path: string, accept: string): Promise<Response> {
  const headers: Record<string, string> = { Accept: accept };
  if (token) headers['Authorization'] = `Bearer ${token}`;
  const answer = await fetch(new URL(path, root), { headers });
  if (answer.ok) return answer;
  if (answer.status === 401) {
    throw new Refused(401, 'The server wants a token that is still good: open the viewer anew from the notebook.');
  }
  let why = `${answer.status} ${answer.statusText}`;
  try {
    const problem = (await answer.json()) as { detail?: string; title?: string };
    why = problem.detail ?? problem.title ?? why;
  } catch {
    // not a problem in JSON: the status says it
  }
  throw new Refused(answer.status, why);
}

export async function json(path: string): Promise<Dataset[]> {
  const answer = await ask(path, 'application/dicom+json');
  return answer.status === 204 ? [] : ((await answer.json()) as Dataset[]);
}

export async function blob(path: string, accept: string): Promise<Blob> {
  return (await ask(path, accept)).blob();
}

/** The one part of a multipart answer: what stands between its head and the last boundary. */
export async function part(path: string, accept: string): Promise<ArrayBuffer> {
  const answer = await ask(path, accept);
  const whole = new Uint8Array(await answer.arrayBuffer());
  const boundary = /boundary="?([^";]+)/.exec(answer.headers.get('content-type') ?? '')?.[1];
  if (!boundary) return whole.buffer;
  const head = find(whole, [13, 10, 13, 10], 0) + 4;
  const mark = new TextEncoder().encode(`\r\n--${boundary}`);
  const told = /content-length: *(\d+)/i.exec(new TextDecoder('latin1').decode(whole.subarray(0, head)))?.[1];
  const end = told ? head + Number(told) : find(whole, [...mark], head);
  return whole.slice(head, end).buffer;
}

function find(bytes: Uint8Array, what: number[], from: number): number {
  for (let i = from; i <= bytes.length - what.length; i++) {
    if (what.every((byte, j) => bytes[i + j] === byte)) return i;
  }
  throw new Error('the server sent an answer without its end');
}
