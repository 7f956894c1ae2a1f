let [members, node, address, session] = [process.argv[2].split(","), process.argv[3], process.argv[4], null];

async function post(path, body) {
  const headers = { "Content-Type": "application/json" }, signal = AbortSignal.timeout(1000);
  const answer = await fetch(members[0] + path, { method: "POST", headers, signal, body: JSON.stringify(body) });
  if (!answer.ok) throw Object.assign(new Error(await answer.text()), { status: answer.status });
  return answer.json();
}

for (;;) {
  try {
    session ??= (await post("/v1/nodes", { id: node, address })).session;
    await post(`/v1/nodes/${node}/beat`, { session });
  } catch (error) {
    console.error(error.message);
    if ([404, 409].includes(error.status)) session = null; // unknown or superseded: register again
    else members.push(members.shift()); // no answer to be had here: ask the next member
  }
  await new Promise((resolve) => setTimeout(resolve, 250));
}
