// The peer of the benchmark `upload`: `node tus-server.js DIRECTORY` serves tus at /files/ on a free port of loopback,
// which it prints once it listens. It stores what it is sent as it is.
import { FileStore } from "@tus/file-store";
import { Server } from "@tus/server";

const directory = process.argv[2];
const server = new Server({ path: "/files", datastore: new FileStore({ directory }) });
const listener = server.listen({ host: "127.0.0.1", port: 0 }, () => {
  console.log(listener.address().port);
});
