// tus-js-client, the client that upload widgets use, against a real vault.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import * as tus from 'tus-js-client';

import { cuttingProxy } from './lib/proxy.js';
import { media, Vault } from './lib/vault.js';

let vault;
before(async () => { vault = await Vault.start(); });
after(async () => { await vault?.stop(); });

/** Uploads and resolves to { upload } or { error }, as the client's own callbacks say. */
function send(recording, options = {}) {
  return new Promise((resolve) => {
    const upload = new tus.Upload(recording, {
      endpoint: vault.endpoint(),
      headers: vault.bearer('uploader'),
      metadata: { filename: 'feedback.webm', filetype: 'video/webm;codecs=vp8,opus', consent: vault.consent() },
      retryDelays: [0, 100, 300, 1000],
      onError: (error) => resolve({ upload, error }),
      onSuccess: () => resolve({ upload }),
      ...options,
    });
    upload.start();
  });
}

test('a browser recording goes in whole and comes out byte for byte', async () => {
  const recording = await media('chromium-video.webm');
  const { upload, error } = await send(recording);
  assert.ifError(error);
  const record = await vault.recordOf(upload.url);
  assert.match(record, /^[0-9a-f-]{36}$/);
  assert.ok((await vault.play(record)).equals(recording));
});

test('an upload in chunks of many sizes goes in', async () => {
  const recording = await media('chromium-voice.webm');
  for (const chunkSize of [1_000, 4_096, 65_536]) {
    const { upload, error } = await send(recording, {
      chunkSize, metadata: { filename: 'voice.webm', filetype: 'audio/webm;codecs=opus', consent: vault.consent() },
    });
    assert.ifError(error);
    assert.ok((await vault.play(await vault.recordOf(upload.url))).equals(recording), `chunks of ${chunkSize}`);
  }
});

test('a connection cut in the middle is resumed, not begun again', async () => {
  const recording = await media('chromium-video.webm');
  const proxy = await cuttingProxy(vault.dev.url, [90_000, 70_000, 40_000]);
  const offsets = [];
  const { upload, error } = await send(recording, {
    endpoint: vault.endpoint(proxy.url),
    onAfterResponse: (request, response) => {
      if (request.getMethod() === 'HEAD') offsets.push(Number(response.getHeader('Upload-Offset')));
    },
  });
  await proxy.close();
  assert.ifError(error);
  assert.equal(proxy.counts.cut, 3, 'the proxy cut every connection it was told to');
  assert.ok(offsets.length >= 3 && offsets.every((offset, at) => at === 0 || offset >= offsets[at - 1]), `offsets ${offsets}`);
  assert.ok(offsets.at(-1) > 0, `something of a cut request was kept: offsets ${offsets}`);
  assert.ok(upload.url.startsWith(proxy.url), 'the Location is a path: it stays behind the proxy');
  const record = await vault.recordOf(upload.url.replace(proxy.url, vault.dev.url));
  assert.ok((await vault.play(record)).equals(recording));
});

test('another page resumes what a closed one began', async () => {
  const recording = await media('chromium-video.webm');
  let first;
  const url = await new Promise((resolve, reject) => {
    first = new tus.Upload(recording, {
      endpoint: vault.endpoint(), headers: vault.bearer('uploader'), chunkSize: 50_000, retryDelays: [],
      metadata: { filename: 'feedback.webm', filetype: 'video/webm', consent: vault.consent() },
      onChunkComplete: async (_, accepted) => { if (accepted >= 100_000) { await first.abort(); resolve(first.url); } },
      onError: reject,
    });
    first.start();
  });
  let began;
  const { error } = await send(recording, {
    uploadUrl: url,
    headers: {},
    onAfterResponse: (request, response) => {
      if (request.getMethod() === 'HEAD') began = Number(response.getHeader('Upload-Offset'));
    },
  });
  assert.ifError(error);
  assert.ok(began >= 100_000, `resumed from ${began}`);
  assert.ok((await vault.play(await vault.recordOf(url))).equals(recording));
});

test('a completed upload that is refused is an error to the client, not a success', async () => {
  // Begins like WebM and is cut short: what it is becomes certain only at its end.
  const recording = (await media('chromium-video.webm')).subarray(0, 100_001);
  const { upload, error } = await send(recording);
  assert.ok(error, 'the client believes in a recording that the vault refused');
  const status = error.originalResponse.getStatus();
  assert.ok(status >= 400 && status < 500, `status ${status}`);
  const head = await fetch(upload.url, { method: 'HEAD', headers: { 'Tus-Resumable': '1.0.0' } });
  assert.equal(head.status, 410);
});

test('a file that is not what it claims is refused', async () => {
  const html = Buffer.from(`<!doctype html><script>alert(1)</script>${' '.repeat(100_000)}`);
  const { error } = await send(html);
  const status = error?.originalResponse.getStatus();
  assert.ok(status >= 400 && status < 500, `status ${status}`);
});

test('without consent, or with consent to another notice, nothing is taken', async () => {
  const recording = await media('chromium-voice.webm');
  const other = JSON.stringify({ ...JSON.parse(vault.consent()), notice_sha256: '0'.repeat(64) });
  for (const metadata of [{ filename: 'a.webm', filetype: 'audio/webm' }, { filename: 'a.webm', filetype: 'audio/webm', consent: other }]) {
    const { error } = await send(recording, { metadata });
    assert.equal(error?.originalResponse.getStatus(), 422);
  }
});

test('termination by the client removes the upload', async () => {
  const recording = await media('chromium-video.webm');
  let first;
  const url = await new Promise((resolve, reject) => {
    first = new tus.Upload(recording, {
      endpoint: vault.endpoint(), headers: vault.bearer('uploader'), chunkSize: 50_000, retryDelays: [],
      metadata: { filename: 'feedback.webm', filetype: 'video/webm', consent: vault.consent() },
      onChunkComplete: async () => { const { url } = first; await first.abort(true); resolve(url); },
      onError: reject,
    });
    first.start();
  });
  const head = await fetch(url, { method: 'HEAD', headers: { 'Tus-Resumable': '1.0.0' } });
  assert.ok(head.status === 404 || head.status === 410, `status ${head.status}`);
});
