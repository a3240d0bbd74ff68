// A plant whose pressure sensor goes bad in every way: `node plant.js PORT FOLDER`.
//
// `flow` and `pressure` live and are told twenty times a second. What is wrong with `pressure` is
// the word in the file `fault` beside FOLDER; an empty file is nothing.

const fs = require("fs");
const path = require("path");
const { DataType, StatusCodes, makeEUInformation } = require("node-opcua");
const { opened } = require("./opened.js");

const [port, folder] = [Number(process.argv[2]), process.argv[3]];
const OLD_MS = 10 * 60 * 1000;
const BAR = makeEUInformation("BAR", "bar", "bar");
const KELVIN = makeEUInformation("KEL", "K", "kelvin");

function fault() {
  try {
    return fs.readFileSync(path.join(folder, "..", "fault"), "utf-8").trim();
  } catch {
    return "";
  }
}

async function main() {
  const { server, own, object: pump } = await opened(
    port, folder, "/plant", "urn:bad:sensor", "pump",
  );
  const tags = Object.fromEntries(["flow", "pressure"].map((name) => [name, own.addAnalogDataItem({
    componentOf: pump, browseName: name, nodeId: `s=${name}`, dataType: DataType.Double,
    engineeringUnits: BAR, engineeringUnitsRange: { low: 0, high: 1000 },
  })]));
  const tell = (name, value, statusCode = StatusCodes.Good, ageMs = 0) =>
    tags[name].setValueFromSource(
      { dataType: DataType.Double, value }, statusCode, new Date(Date.now() - ageMs),
    );
  let told = BAR;
  let number = 0;
  setInterval(() => {
    number += 1;
    const value = 2 + (number % 7) / 10;
    const wrong = fault();
    const unit = wrong === "unit" ? KELVIN : BAR;
    if (unit !== told) {
      told = unit;
      tags.pressure.engineeringUnits.setValueFromSource(
        { dataType: DataType.ExtensionObject, value: unit },
      );
    }
    tell("flow", value);
    switch (wrong) {
      case "bad": return tell("pressure", value, StatusCodes.BadSensorFailure);
      case "frozen": return tell("pressure", 2);
      case "sentinel": return tell("pressure", 888.8);
      case "old": return tell("pressure", value, StatusCodes.Good, OLD_MS);
      case "silent": return undefined;
      case "scaled": return tell("pressure", 1000 * value);
      default: return tell("pressure", value);
    }
  }, 50);
  await server.start();
}

main();
