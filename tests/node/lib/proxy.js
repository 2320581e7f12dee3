// A TCP proxy that loses connections on purpose.

import net from 'node:net';

/**
 * Forwards to `target` (http://host:port). Each number of `cuts` is spent on one connection: after that many bytes from
 * the client both sides are reset. Connections after the last cut are left alone.
 */
export async function cuttingProxy(target, cuts) {
  const { hostname, port } = new URL(target);
  const left = [...cuts];
  const counts = { forwarded: 0, cut: 0 };
  const server = net.createServer((client) => {
    const upstream = net.connect(Number(port), hostname);
    let seen = 0;
    client.on('data', (bytes) => {
      counts.forwarded += bytes.length;
      seen += bytes.length;
      upstream.write(bytes);
      if (left.length > 0 && seen >= left[0]) {
        left.shift();
        counts.cut += 1;
        // What was forwarded may still be on its way; a lost connection does not wait for it.
        upstream.destroy();
        client.resetAndDestroy();
      }
    });
    upstream.on('data', (bytes) => client.write(bytes));
    upstream.on('end', () => client.end());
    client.on('end', () => upstream.end());
    for (const socket of [client, upstream]) {
      socket.on('error', () => { client.destroy(); upstream.destroy(); });
    }
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    counts,
    close: () => new Promise((resolve) => { server.close(resolve); }),
  };
}
