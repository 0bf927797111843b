// Bundle the viewer to one script, assets/viewer.js, with the licence of three.js inside.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
// tests/motion/test_viewing.py computes the same digest: a bundle older than its sources fails there.
const sources = ["build.mjs", "package.json", ...readdirSync(join(here, "src")).map((name) => `src/${name}`)].sort();
const digest = createHash("sha256");
for (const name of sources) digest.update(readFileSync(join(here, name)));

const licence = readFileSync(join(here, "node_modules/three/LICENSE"), "utf8").trim();
const banner = `/*!
InfiniteDance viewer: Apache-2.0, see LICENSE of the repository; built by \`make viewer\` from spaces_demo/viewer.
Sources sha256: ${digest.digest("hex")}

It contains three.js:

${licence}
*/`;

await build({
  absWorkingDir: here,
  entryPoints: ["src/index.js"],
  outfile: "../../assets/viewer.js",
  bundle: true,
  minify: true,
  format: "iife",
  globalName: "InfiniteDanceViewer",
  target: "es2022",
  charset: "ascii",
  loader: { ".css": "text", ".html": "text" },
  legalComments: "none",
  banner: { js: banner },
});
