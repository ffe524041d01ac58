import hooks from "eslint-plugin-react-hooks";
import typescript from "typescript-eslint";

export default typescript.config({ ignores: ["src/generated"] }, ...typescript.configs.recommended, {
  plugins: { "react-hooks": hooks },
  rules: {
    "react-hooks/rules-of-hooks": "error",
    "react-hooks/exhaustive-deps": "error",
    "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_" }],
    eqeqeq: "error",
  },
});
