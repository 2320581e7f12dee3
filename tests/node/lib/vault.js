// A vault as a child process, and the people of its dev.json.

import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const workspace = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');
const READY_MS = 120_000;

/** A browser's recording from tests/fixtures/media. */
export const media = (name) => readFile(path.join(workspace, 'tests/fixtures/media', name));

export class Vault {
  /** Starts `vault-server dev`, built by `cargo build --workspace --bins --tests`, in a directory of its own. */
  static async start() {
    const vault = new Vault();
    vault.folder = await mkdtemp(path.join(tmpdir(), 'vault-node-'));
    const data = path.join(vault.folder, 'data');
    const program = path.join(workspace, 'target/debug/vault-server');
    vault.log = '';
    vault.child = spawn(program, ['dev', '--listen', '127.0.0.1:0', '--data-dir', data], { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [vault.child.stdout, vault.child.stderr]) {
      stream.on('data', (text) => { vault.log += text; });
    }
    const start = Date.now();
    while (Date.now() - start < READY_MS) {
      if (vault.child.exitCode !== null) throw new Error(`vault-server ended with ${vault.child.exitCode}:\n${vault.log}`);
      try {
        vault.dev = JSON.parse(await readFile(path.join(data, 'dev.json'), 'utf8'));
        if ((await fetch(`${vault.dev.url}/readyz`)).status === 200) return vault;
      } catch { /* not written, or not listening yet */ }
      await sleep(50);
    }
    await vault.stop();
    throw new Error(`vault-server was not ready in time:\n${vault.log}`);
  }

  /** Ends the server and deletes its directory. */
  async stop() {
    if (this.child.exitCode === null) {
      const ended = new Promise((resolve) => { this.child.once('exit', resolve); });
      this.child.kill('SIGTERM');
      await Promise.race([ended, sleep(30_000)]);
      this.child.kill('SIGKILL');
    }
    await rm(this.folder, { recursive: true, force: true });
  }

  /** The consent that the sample collection asks for, as Upload-Metadata carries it. */
  consent() {
    return JSON.stringify({
      notice_sha256: this.dev.notice_sha256, purposes: ['service-improvement'], given_at: '2026-01-15T10:00:00Z',
    });
  }

  /** Where uploads to the sample collection begin. */
  endpoint(base = this.dev.url) {
    return `${base}/v1/collections/${this.dev.collection}/uploads`;
  }

  /** The headers of a person. */
  bearer(person) {
    return { Authorization: `Bearer ${this.dev.tokens[person]}` };
  }

  /** JSON in, JSON out; anything but `expected` is an error. */
  async post(person, route, body, expected) {
    const answer = await fetch(this.dev.url + route, {
      method: 'POST', headers: { ...this.bearer(person), 'Content-Type': 'application/json' }, body: JSON.stringify(body),
    });
    const text = await answer.text();
    if (answer.status !== expected) throw new Error(`${route} answered ${answer.status}: ${text}`);
    return JSON.parse(text);
  }

  /** From access request to an open session of the original; the address to play. */
  async granted(record) {
    const filed = await this.post('analyst', '/v1/access-requests', {
      record_id: record, purpose: 'service-improvement', reason: 'Hear what was said', case_number: 'C-2026-118', rights: ['view', 'export'],
    }, 201);
    await this.post('approver', `/v1/access-requests/${filed.id}/approve`, {}, 200);
    const session = await this.post('analyst', `/v1/access-requests/${filed.id}/sessions`, { representation: 'original' }, 201);
    return this.dev.url + session.playback_url;
  }

  /** The whole recording, as the analyst hears it. */
  async play(record) {
    const answer = await fetch(await this.granted(record), { headers: this.bearer('analyst') });
    if (answer.status !== 200) throw new Error(`playback answered ${answer.status}`);
    return Buffer.from(await answer.arrayBuffer());
  }

  /** The record that a finished upload became. */
  async recordOf(location) {
    const head = await fetch(location, { method: 'HEAD', headers: { 'Tus-Resumable': '1.0.0' } });
    return head.headers.get('vault-record-id');
  }
}
