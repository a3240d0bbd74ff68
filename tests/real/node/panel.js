// A PLC that is written to: `node panel.js PORT FOLDER`. It takes values with and without status.

const { OPCUAServer, OPCUACertificateManager, DataType } = require("node-opcua");

const [port, folder] = [Number(process.argv[2]), process.argv[3]];
const NODES = {
  setpoint: [DataType.Double, 17],
  decided: [DataType.Boolean, false],
  label: [DataType.String, ""],
};

async function main() {
  const manager = new OPCUACertificateManager({
    rootFolder: folder,
    automaticallyAcceptUnknownCertificate: true,
  });
  const server = new OPCUAServer({
    port,
    hostname: "127.0.0.1",
    resourcePath: "/panel",
    serverCertificateManager: manager,
    nodeset_filename: [require("node-opcua").nodesets.standard],
  });
  await server.initialize();
  const space = server.engine.addressSpace;
  const own = space.registerNamespace("urn:a:panel");
  const panel = own.addObject({ organizedBy: space.rootFolder.objects, browseName: "panel" });
  for (const [name, [dataType, value]] of Object.entries(NODES)) {
    own.addVariable({
      componentOf: panel, browseName: name, nodeId: `s=${name}`, dataType,
      accessLevel: "CurrentRead | CurrentWrite | StatusWrite | TimestampWrite",
      userAccessLevel: "CurrentRead | CurrentWrite | StatusWrite | TimestampWrite",
      value: { dataType, value },
    });
  }
  await server.start();
}

main();
