// A real browser plays a recording from the vault and seeks in it.
//
// A <video> element cannot send a bearer token. Here the browser is told to add the analyst's token to every request to
// the vault, which is what a console in front of it has to do with a sign-in cookie instead. The page is made
// up on the vault's own origin, so that the answer's own protections (CORP, CSP, nosniff) apply as in production.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';
import * as tus from 'tus-js-client';

import { media, Vault } from './lib/vault.js';

const executablePath = process.env.VAULT_TESTS_CHROMIUM;
const skip = executablePath ? false : 'no Chromium: VAULT_TESTS_CHROMIUM names none';

let vault;
let browser;
before(async () => {
  if (skip) return;
  vault = await Vault.start();
  browser = await chromium.launch({
    executablePath,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required'],
  });
});
after(async () => {
  await browser?.close();
  await vault?.stop();
});

async function uploaded(name, filetype) {
  const recording = await media(name);
  const url = await new Promise((resolve, reject) => {
    const upload = new tus.Upload(recording, {
      endpoint: vault.endpoint(), headers: vault.bearer('uploader'), metadata: { filename: name, filetype, consent: vault.consent() },
      onError: reject, onSuccess: () => resolve(upload.url),
    });
    upload.start();
  });
  return vault.recordOf(url);
}

/** A page on the vault's origin with one video of `src`; `headers` go to the vault with every request. */
async function pageWith(src, headers) {
  const context = await browser.newContext({ extraHTTPHeaders: headers });
  const page = await context.newPage();
  const address = `${vault.dev.url}/made-up-page`;
  await page.route(address, (route) => route.fulfill({ contentType: 'text/html', body: '<!doctype html><video muted preload="auto"></video>' }));
  const statuses = [];
  page.on('response', (answer) => { if (answer.url() === src) statuses.push(answer.status()); });
  await page.goto(address);
  return { page, statuses, close: () => context.close() };
}

for (const [name, filetype] of [['chromium-video.webm', 'video/webm;codecs=vp8,opus'], ['chromium-video.mp4', 'video/mp4']]) {
  test(`Chromium plays ${name} and seeks in it`, { skip }, async () => {
    const src = await vault.granted(await uploaded(name, filetype));
    const { page, statuses, close } = await pageWith(src, vault.bearer('analyst'));
    const seen = await page.evaluate(async (address) => {
      const video = document.querySelector('video');
      const happens = (event) => new Promise((resolve, reject) => {
        video.addEventListener(event, resolve, { once: true });
        video.addEventListener('error', () => reject(new Error(`media error ${video.error?.code}: ${video.error?.message}`)), { once: true });
        setTimeout(() => reject(new Error(`no ${event} after 20 s, readyState ${video.readyState}`)), 20_000);
      });
      const loaded = happens('loadeddata');
      video.src = address;
      await loaded;
      const playing = happens('timeupdate');
      await video.play();
      await playing;
      video.pause();
      const seeked = happens('seeked');
      video.currentTime = 5;
      await seeked;
      return { width: video.videoWidth, height: video.videoHeight, at: video.currentTime, ready: video.readyState };
    }, src);
    await close();
    assert.ok(seen.width > 0 && seen.height > 0, `no picture: ${JSON.stringify(seen)}`);
    assert.ok(Math.abs(seen.at - 5) < 0.5 && seen.ready >= 2, `no frame at 5 s: ${JSON.stringify(seen)}`);
    assert.ok(statuses.length > 0 && statuses.every((status) => status === 206 || status === 200), `statuses ${statuses}`);
  });
}

test('the address alone plays nothing', { skip }, async () => {
  const src = await vault.granted(await uploaded('chromium-video.webm', 'video/webm'));
  const { page, statuses, close } = await pageWith(src, {});
  const outcome = await page.evaluate((address) => new Promise((resolve) => {
    const video = document.querySelector('video');
    video.addEventListener('loadeddata', () => resolve('played'));
    video.addEventListener('error', () => resolve('refused'));
    video.src = address;
  }), src);
  await close();
  assert.equal(outcome, 'refused');
  assert.ok(statuses.length > 0 && statuses.every((status) => status === 404 || status === 401), `statuses ${statuses}`);
});
