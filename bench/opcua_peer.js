// node-opcua's client on the replayed stream: `node opcua_peer.js URL TAGS SECONDS`.
// Prints one JSON object: values taken, and the processor time that they cost.

const {
  OPCUAClient, ClientSubscription, ClientMonitoredItemGroup, TimestampsToReturn, AttributeIds,
  MessageSecurityMode, SecurityPolicy,
} = require("node-opcua");

const [url, tags, seconds] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const WARM_MS = 1000;

async function main() {
  const client = OPCUAClient.create({
    endpointMustExist: false,
    securityMode: MessageSecurityMode.None,
    securityPolicy: SecurityPolicy.None,
  });
  await client.connect(url);
  const session = await client.createSession();
  const index = (await session.readNamespaceArray()).indexOf("urn:edge-mlops:replay");
  const subscription = ClientSubscription.create(session, {
    requestedPublishingInterval: 50, requestedLifetimeCount: 10000,
    requestedMaxKeepAliveCount: 10, maxNotificationsPerPublish: 0, publishingEnabled: true,
  });
  const items = [];
  for (let number = 0; number < tags; number += 1) {
    items.push({ nodeId: `ns=${index};s=t${number}`, attributeId: AttributeIds.Value });
  }
  let taken = 0;
  const group = ClientMonitoredItemGroup.create(
    subscription, items, { samplingInterval: 0, queueSize: 100, discardOldest: true },
    TimestampsToReturn.Both,
  );
  group.on("changed", () => { taken += 1; });
  await new Promise((done) => { setTimeout(done, WARM_MS); });
  while (taken === 0) await new Promise((done) => { setTimeout(done, 50); });
  const [began, before] = [process.cpuUsage(), taken];
  await new Promise((done) => { setTimeout(done, seconds * 1000); });
  const used = process.cpuUsage(began);
  console.log(JSON.stringify({
    values: taken - before, cpu_s: (used.user + used.system) / 1e6, seconds,
  }));
  process.exit(0);
}

main();
