// A day's work of ccxt for node, after the lines of docs/gateway-clients.md; one JSON document on stdout says how it went.
const SYMBOL = "BTC/USD";

async function raised(asked) {
  try {
    await asked();
    return "nothing";
  } catch (error) {
    return error.constructor.name;
  }
}

exchange.enableRateLimit = false; // for a test's speed alone
const placed = await exchange.createOrder(SYMBOL, "limit", "buy", 0.01, 25000.1, { clientOrderId: "from-node" });
const again = await exchange.createOrder(SYMBOL, "limit", "buy", 0.01, 25000.1, { clientOrderId: "from-node" });
const open = await exchange.fetchOpenOrders(SYMBOL);
const row = { symbol: SYMBOL, type: "limit", side: "buy", amount: 0.01, price: 25000 };
const batch = await exchange.createOrders([row, row]);
const trailing = await exchange.createOrder(SYMBOL, "market", "sell", 0.01, undefined, { trailingPercent: "5" });
await exchange.cancelOrder(placed.id, SYMBOL);
const all = await exchange.cancelAllOrders();
const parallel = { answered: 0, InvalidNonce: 0 };
await Promise.all(Array.from({ length: 30 }, async () => {
  const error = await raised(() => exchange.privatePostOpenOrders());
  parallel[error === "nothing" ? "answered" : error] += 1;
}));
console.log(JSON.stringify({
  btc: balance.BTC.free,
  sameOrder: placed.id === again.id,
  seen: open.map((order) => order.clientOrderId),
  batch: batch.length,
  trailing: trailing.id !== undefined,
  cancelled: all[0].info.result.count,
  left: (await exchange.fetchOpenOrders(SYMBOL)).length,
  parallel,
  tooMuch: await raised(() => exchange.createOrder(SYMBOL, "limit", "buy", 100, 25000)),
  denied: await raised(() => exchange.privatePostWithdraw({ asset: "XBT", key: "mine", amount: "1" })),
  wrongKey: await raised(async () => {
    exchange.apiKey = "SEALANE" + "x".repeat(49);
    await exchange.fetchBalance();
  }),
}));
