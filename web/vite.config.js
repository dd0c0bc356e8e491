import { defineConfig } from "vite";

// One script and one style sheet under names that stay, so that a build changes only what changed.
export default defineConfig({
  base: "./",
  build: {
    outDir: "../src/earwitness/service/page",
    emptyOutDir: true,
    sourcemap: false,
    modulePreload: false,
    cssCodeSplit: false,
    rolldownOptions: {
      output: {
        codeSplitting: false,
        entryFileNames: "assets/page.js",
        assetFileNames: "assets/page[extname]",
      },
    },
  },
});
