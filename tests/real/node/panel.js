// A PLC that is written to: `node panel.js PORT FOLDER`. It takes values with and without status.

const { DataType } = require("node-opcua");
const { opened } = require("./opened.js");

const [port, folder] = [Number(process.argv[2]), process.argv[3]];
const NODES = {
  setpoint: [DataType.Double, 17],
  decided: [DataType.Boolean, false],
  label: [DataType.String, ""],
};

async function main() {
  const { server, own, object: panel } = await opened(
    port, folder, "/panel", "urn:a:panel", "panel",
  );
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
