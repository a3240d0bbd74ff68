// A server on this machine that trusts whoever comes, and one object of its own: what all share.

const { OPCUAServer, OPCUACertificateManager, nodesets } = require("node-opcua");

// `more` are options of the server; the namespace is named by a URI, its one object for people.
async function opened(port, folder, resourcePath, uri, browseName, more = {}) {
  const server = new OPCUAServer({
    port,
    hostname: "127.0.0.1",
    resourcePath,
    serverCertificateManager: new OPCUACertificateManager({
      rootFolder: folder,
      automaticallyAcceptUnknownCertificate: true,
    }),
    nodeset_filename: [nodesets.standard],
    ...more,
  });
  await server.initialize();
  const space = server.engine.addressSpace;
  const own = space.registerNamespace(uri);
  const object = own.addObject({ organizedBy: space.rootFolder.objects, browseName });
  return { server, space, own, object };
}

module.exports = { opened };
