// The demo that runs: its API server, its processes, its records. In: the demo's state folder. Out:
// objects, process ids, reports. Talks to the API server; starts our program.

import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import { promisify } from "node:util";

import { PROGRAM } from "./driver.mjs";

const DEMOS = "/apis/kinesisdemo.io/v1alpha1/namespaces/default/kinesisdemos";
const ROLES = "/apis/rbac.authorization.k8s.io/v1";

export class Cluster {
  constructor(state) {
    this.state = state;
    this.kubeconfig = join(state, "admin.kubeconfig");
  }

  /// A request to the API server, as administrator. A missing object is null.
  async call(method, path, body) {
    const config = JSON.parse(readFileSync(this.kubeconfig, "utf8"));
    const decoded = (text) => Buffer.from(text, "base64");
    const [{ cluster }] = config.clusters;
    const [{ user }] = config.users;
    const options = { method, ca: decoded(cluster["certificate-authority-data"]), timeout: 5_000, headers: {} };
    if (user.token) options.headers.authorization = `Bearer ${user.token}`;
    else Object.assign(options, { cert: decoded(user["client-certificate-data"]), key: decoded(user["client-key-data"]) });
    if (body) options.headers["content-type"] = method === "PATCH" ? "application/merge-patch+json" : "application/json";
    const { status, text } = await new Promise((resolve, reject) => {
      const sent = request(`${cluster.server}${path}`, options, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (part) => { text += part; });
        response.on("end", () => resolve({ status: response.statusCode, text }));
      });
      sent.on("error", reject).on("timeout", () => sent.destroy(new Error(`no response to ${method} ${path}`)));
      sent.end(body && JSON.stringify(body));
    });
    if (status === 404) return null;
    if (status >= 300) throw new Error(`${method} ${path}: ${status} ${text}`);
    return JSON.parse(text);
  }

  demo = (name) => this.call("GET", `${DEMOS}/${name}`);
  remove = (name) => this.call("DELETE", `${DEMOS}/${name}`);

  /// The pid of the demo's process of that role, as the demo has written it down; undefined while
  /// there is none.
  pid(role) {
    const entries = JSON.parse(readFileSync(join(this.state, "processes.json"), "utf8"));
    return entries.findLast((entry) => entry.role === role)?.pid;
  }

  /// A kubeconfig of a user who may read our kinds and change nothing.
  async viewer() {
    const rules = [{ apiGroups: ["kinesisdemo.io"], resources: ["kinesisdemos", "kinesisdemoruns"], verbs: ["get", "list", "watch"] }];
    const kind = (kind, rest) => ({ apiVersion: "rbac.authorization.k8s.io/v1", kind, metadata: { name: "page-viewer" }, ...rest });
    await this.call("POST", `${ROLES}/clusterroles`, kind("ClusterRole", { rules }));
    await this.call("POST", `${ROLES}/clusterrolebindings`, kind("ClusterRoleBinding", {
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "page-viewer" },
      subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: "viewer" }],
    }));
    const config = JSON.parse(readFileSync(this.kubeconfig, "utf8"));
    config.users[0].user.as = "viewer";
    const file = join(this.state, "..", "viewer.kubeconfig");
    writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
    return file;
  }

  /// What `kubectl kinesisdemo report NAME --run N -o json` writes.
  async report(name, run) {
    const args = ["report", name, "--run", String(run), "-o", "json", "-n", "default", "--kubeconfig", this.kubeconfig];
    const { stdout } = await promisify(execFile)(PROGRAM, args, { maxBuffer: 16 * 1024 * 1024 });
    return JSON.parse(stdout);
  }
}
