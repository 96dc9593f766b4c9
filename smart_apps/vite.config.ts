import { defineConfig } from "vite";

/** Every app is a page of its own; what they share becomes shared files under /apps/assets/. */
export default defineConfig({
  base: "/apps/",
  build: {
    outDir: "dist",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    rollupOptions: {
      input: {
        twin: "twin/index.html",
        notes: "notes/index.html",
        list: "list/index.html",
        mine: "mine/index.html",
        admin: "admin/index.html",
        ehr: "ehr/index.html",
        return: "ehr/return.html",
      },
    },
  },
});
