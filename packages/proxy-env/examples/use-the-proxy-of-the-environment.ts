import { decideProxy, portableNoProxy, proxyEnvironment, readProxyEnvironment } from "@fleetfoot/proxy-env";
import { createProxyDispatcher } from "@fleetfoot/proxy-env/dispatcher";

const settings = readProxyEnvironment({
  HTTPS_PROXY: "proxy.corp.example:3128", // without a scheme
  HTTP_PROXY: "http://runner:s%2Fcret@proxy.corp.example:3128/",
  no_proxy: ".corp.example, 10.0.0.0/30",
});
for (const url of ["https://gitlab.example.com/", "http://cache.corp.example/", "http://127.0.0.1:8080/"]) {
  const { proxy, reason } = decideProxy(settings, new URL(url));
  console.log(`${url}: ${proxy ?? "direct"} (${reason})`);
}
const { value } = portableNoProxy(settings.noProxy.map(({ text }) => text));
const forChildren = proxyEnvironment(settings, { noProxy: value });
console.log(`children get ${Object.keys(forChildren).join(", ")}; NO_PROXY is ${forChildren["NO_PROXY"]}`);

const dispatcher = createProxyDispatcher({ decide: (url) => decideProxy(settings, url) });
await dispatcher.close(); // after dispatcher.request({ origin, path, method })
