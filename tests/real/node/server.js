// An OPC UA server of another make: `node server.js PORT FOLDER`.
//
// One variable a case that a plant brings: other types, a broken sensor, a value that is only the
// last usable one, a source time ten minutes old. `warm` is 50 °F, `row` an array. `count` goes up
// twenty times a second, and there is history of it. The certificate that it shows is in
// FOLDER/own/certs/certificate.pem. There are endpoints of every policy that Node.js still can;
// `operator` may sign in with `secret`, and so may whose certificate lies in `users/trusted/certs`
// beside FOLDER. SIGUSR2 ends every session but none of their subscriptions.

const path = require("path");
const {
  OPCUACertificateManager, DataType, SecurityPolicy, StatusCodes, VariantArrayType, standardUnits,
} = require("node-opcua");
const { opened } = require("./opened.js");

const [port, folder] = [Number(process.argv[2]), process.argv[3]];
const OLD_MS = 10 * 60 * 1000;
const HISTORY = 2000;

const CASES = {
  float: [DataType.Float, 1.5, StatusCodes.Good, 0],
  int16: [DataType.Int16, -7, StatusCodes.Good, 0],
  boolean: [DataType.Boolean, true, StatusCodes.Good, 0],
  text: [DataType.String, "31,5", StatusCodes.Good, 0],
  broken: [DataType.Double, 888.8, StatusCodes.BadSensorFailure, 0],
  held: [DataType.Double, 2.5, StatusCodes.UncertainLastUsableValue, 0],
  old: [DataType.Double, 3.5, StatusCodes.Good, OLD_MS],
};

async function main() {
  const more = {
    userCertificateManager: new OPCUACertificateManager({
      name: "users",
      rootFolder: path.join(folder, "..", "users"),
      automaticallyAcceptUnknownCertificate: false,
    }),
    userManager: { isValidUser: (user, password) => user === "operator" && password === "secret" },
    securityPolicies: [
      SecurityPolicy.None,
      SecurityPolicy.Basic256,
      SecurityPolicy.Basic256Sha256,
      SecurityPolicy.Aes128_Sha256_RsaOaep,
      SecurityPolicy.Aes256_Sha256_RsaPss,
    ],
    // Outages leave sessions behind until their time is over.
    serverCapabilities: { maxSessions: 200 },
    maxConnectionsPerEndpoint: 200,
  };
  const { server, space, own, object: device } = await opened(
    port, folder, "/other", "urn:another:make", "device", more,
  );
  for (const [name, [dataType, value, statusCode, ageMs]] of Object.entries(CASES)) {
    const variable = own.addVariable({
      componentOf: device, browseName: name, nodeId: `s=${name}`, dataType,
    });
    variable.setValueFromSource({ dataType, value }, statusCode, new Date(Date.now() - ageMs));
  }
  own.addAnalogDataItem({
    componentOf: device, browseName: "warm", nodeId: "s=warm", dataType: DataType.Double,
    engineeringUnits: standardUnits.degree_fahrenheit, engineeringUnitsRange: { low: 0, high: 200 },
  }).setValueFromSource({ dataType: DataType.Double, value: 50 });
  own.addVariable({
    componentOf: device, browseName: "row", nodeId: "s=row", dataType: DataType.Float, valueRank: 1,
  }).setValueFromSource({
    dataType: DataType.Float, arrayType: VariantArrayType.Array, value: new Float32Array([0.5, 1.5, 2.5]),
  });
  const count = own.addVariable({
    componentOf: device, browseName: "count", nodeId: "s=count", dataType: DataType.UInt32,
  });
  space.installHistoricalDataNode(count, { maxOnlineValues: HISTORY });
  let number = 0;
  setInterval(() => {
    number += 1;
    count.setValueFromSource({ dataType: DataType.UInt32, value: number }, StatusCodes.Good, new Date());
  }, 50);
  process.on("SIGUSR2", () => {
    for (const session of Object.values(server.engine._sessions)) {
      server.engine.closeSession(session.authenticationToken, false, "Forcing");
    }
  });
  await server.start();
}

main();
