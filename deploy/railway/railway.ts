// The successor of railway.json. Copy it to .railway/railway.ts, put your repository's name in, then
// `railway config plan` shows what would change and `railway config apply` does it.
//
// apply makes the service what this file says: it removes each variable that is set at Railway and not listed here, a
// user's key too. So list every one of yours with preserve(), which keeps the value that Railway holds.
import { defineRailway, github, preserve, project, service, volume } from "railway/iac";

export default defineRailway((ctx) => {
  // A pull request's environment would be a second writer on the same keys: it gets none of them, and so the gateway
  // there stands on its own simulator.
  const live = ctx.isEnvironment("production");

  const data = volume("nija-data");

  const sealane = service("sealane", {
    source: github("you/your-repository", { branch: "main" }),
    build: { builder: "DOCKERFILE", dockerfilePath: "deploy/docker/Dockerfile" },
    // It takes the place of the image's ENTRYPOINT, so it names it.
    start: "/app/entrypoint.sh sealane serve --host :: --allow-network",
    healthcheck: "/health/kraken-nonce",
    healthcheckTimeout: 300,
    replicas: 1,
    deploy: {
      overlapSeconds: 0,
      drainingSeconds: 30,
      restartPolicyType: "ON_FAILURE",
      restartPolicyMaxRetries: 10,
      requiredMountPath: "/app/data",
    },
    volumeMounts: { "/app/data": data },
    env: {
      DATA_DIR: "/app/data",
      SEALANE_ALLOWED_HOSTS: "sealane.railway.internal",
      ...(live ? { KRAKEN_API_KEY: preserve(), KRAKEN_API_SECRET: preserve() } : {}),
      // ...(live ? { KRAKEN_USER_name_API_KEY: preserve(), KRAKEN_USER_name_API_SECRET: preserve() } : {}),
      // ...(live ? { COINBASE_API_KEY: preserve(), COINBASE_API_SECRET: preserve() } : {}),
    },
  });

  return project("sealane", { resources: [sealane, data] });
});
