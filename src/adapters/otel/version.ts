/** The package's version, which the scope of everything emitted carries; a test holds it against `package.json`. */
export const VERSION = '0.1.0';
